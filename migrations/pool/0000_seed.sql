CREATE TABLE `active` (
	`session` text NOT NULL,
	`execution` text NOT NULL,
	`lane` text NOT NULL,
	`rank` integer NOT NULL,
	`priority` integer NOT NULL,
	`since` integer NOT NULL,
	`wait_until` integer NOT NULL,
	`state` text NOT NULL,
	`lease` integer,
	`runner_id` text,
	`boot_id` text,
	`assigned_at` integer,
	`due_at` integer,
	PRIMARY KEY(`session`, `execution`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `keys` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`digest` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`last_used_at` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `runners` (
	`id` text PRIMARY KEY NOT NULL,
	`record` text NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `waiting` (
	`session` text NOT NULL,
	`execution` text NOT NULL,
	`lane` text NOT NULL,
	`rank` integer NOT NULL,
	`priority` integer NOT NULL,
	`since` integer NOT NULL,
	`wait_until` integer NOT NULL,
	`told` text,
	PRIMARY KEY(`session`, `execution`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `waiting_by_lane` ON `waiting` (`lane`,`rank`);