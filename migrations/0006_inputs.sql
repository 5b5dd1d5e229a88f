CREATE TABLE `inputs` (
	`key` text PRIMARY KEY NOT NULL,
	`digest` text NOT NULL,
	`command_id` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `executions` ADD `features` text;--> statement-breakpoint
ALTER TABLE `executions` ADD `stdin_ended` integer DEFAULT false NOT NULL;