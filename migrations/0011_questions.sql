CREATE TABLE `answers` (
	`key` text PRIMARY KEY NOT NULL,
	`answer_id` text,
	`digest` text NOT NULL,
	`by` text NOT NULL,
	`at` integer NOT NULL,
	`command_id` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `executions` ADD `asking` text;