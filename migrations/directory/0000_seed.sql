CREATE TABLE `sessions` (
	`id` text PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`status` text,
	`last_activity_at` integer NOT NULL,
	`execution` text,
	`removed` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sessions_by_activity` ON `sessions` (`removed`,`last_activity_at`,`id`);--> statement-breakpoint
CREATE INDEX `sessions_by_status` ON `sessions` (`removed`,`status`,`last_activity_at`,`id`);