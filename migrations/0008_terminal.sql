ALTER TABLE `executions` ADD `terminal` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `screen_offset` integer;