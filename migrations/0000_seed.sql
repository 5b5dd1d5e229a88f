CREATE TABLE `callbacks` (
	`id` text PRIMARY KEY NOT NULL,
	`execution` text NOT NULL,
	`url` text NOT NULL,
	`verdict_offset` integer NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `commands` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`execution` text NOT NULL,
	`command` text NOT NULL,
	`data` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `executions` (
	`ordinal` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`status` text NOT NULL,
	`request_digest` text NOT NULL,
	`command` text NOT NULL,
	`cwd` text,
	`env` text,
	`stdin` text,
	`open_stdin` integer DEFAULT false NOT NULL,
	`format` text NOT NULL,
	`launcher` text NOT NULL,
	`labels` text NOT NULL,
	`policy` text NOT NULL,
	`callback_url` text,
	`traceparent` text,
	`origin` text NOT NULL,
	`created_at` integer NOT NULL,
	`pending_at` integer,
	`started_at` integer,
	`ended_at` integer,
	`first_offset` integer NOT NULL,
	`last_offset` integer,
	`queue_rank` integer NOT NULL,
	`launch_at` integer,
	`launch_attempts` integer DEFAULT 0 NOT NULL,
	`launched_at` integer,
	`wrapper_id` text,
	`boot_id` text,
	`transport` text,
	`heard_at` integer,
	`epoch` integer DEFAULT 0 NOT NULL,
	`connected` integer DEFAULT false NOT NULL,
	`connected_at` integer,
	`disconnected_at` integer,
	`disconnect_reason` text,
	`ws_close_code` integer,
	`ws_close_reason` text,
	`pending_until` integer,
	`grace_until` integer,
	`runtime_until` integer,
	`interrupt_until` integer,
	`interrupt_requested_at` integer,
	`interrupt_cause` text,
	`interrupt_reason` text,
	`interrupt_forced` integer DEFAULT false NOT NULL,
	`exit_code` integer,
	`signal` text,
	`code` text,
	`error` text,
	`reason` text,
	`forced` integer DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `executions_id` ON `executions` (`id`);--> statement-breakpoint
CREATE TABLE `log` (
	`first_offset` integer PRIMARY KEY NOT NULL,
	`count` integer NOT NULL,
	`execution` text NOT NULL,
	`first_seq` integer,
	`last_seq` integer,
	`bytes` integer NOT NULL,
	`received_at` integer NOT NULL,
	`body` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
