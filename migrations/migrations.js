import journal from './meta/_journal.json';
import m0000 from './0000_seed.sql';
import m0001 from './0001_outbox.sql';
import m0002 from './0002_callbacks.sql';
import m0003 from './0003_secret_names.sql';
import m0004 from './0004_log_bytes.sql';
import m0005 from './0005_late.sql';
import m0006 from './0006_inputs.sql';
import m0007 from './0007_output.sql';
import m0008 from './0008_terminal.sql';
import m0009 from './0009_pool.sql';
import m0010 from './0010_max_active.sql';
import m0011 from './0011_questions.sql';
import m0012 from './0012_continues.sql';
import m0013 from './0013_callback_events.sql';

  export default {
    journal,
    migrations: {
      m0000,
m0001,
m0002,
m0003,
m0004,
m0005,
m0006,
m0007,
m0008,
m0009,
m0010,
m0011,
m0012,
m0013
    }
  }
  