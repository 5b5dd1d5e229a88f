CREATE TABLE `pools` (
	`id` text PRIMARY KEY NOT NULL,
	`created_at` integer NOT NULL
);
