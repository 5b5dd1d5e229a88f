ALTER TABLE `executions` ADD `merge` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `executions` ADD `output` text DEFAULT 'text' NOT NULL;