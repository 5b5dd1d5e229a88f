CREATE TABLE `outbox` (
	`topic` text PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`delivered` integer NOT NULL,
	`attempts` integer NOT NULL,
	`due_at` integer NOT NULL
);
