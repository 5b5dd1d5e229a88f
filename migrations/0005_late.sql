ALTER TABLE `executions` ADD `late_until` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `late_events` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `late_at` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `late_exit_code` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `late_signal` text;--> statement-breakpoint
ALTER TABLE `log` ADD `late` integer;