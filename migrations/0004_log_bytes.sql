ALTER TABLE `executions` ADD `log_bytes` integer;--> statement-breakpoint
ALTER TABLE `log` ADD `execution_bytes` integer;