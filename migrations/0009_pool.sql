ALTER TABLE `executions` ADD `pool` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `requires` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `priority` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `concurrency` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `wait_ms` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `wait_until` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `wait_reason` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `lease` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `runner_id` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `runner_name` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `assigned_at` integer;--> statement-breakpoint
ALTER TABLE `executions` ADD `assignments_failed` integer DEFAULT 0 NOT NULL;