ALTER TABLE `callbacks` ADD `event` text DEFAULT 'settled' NOT NULL;--> statement-breakpoint
ALTER TABLE `executions` ADD `callback_events` text;