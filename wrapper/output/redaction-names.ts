/**
 * Which variables are secret by their name or their value, and which parts of a value are. Pure.
 *
 * Does not own: how a secret is spelled in the output (redaction-forms), nor the search (redaction-search).
 */

/** A `MONKEY` is no key, and `PWD` is the working directory: short words count only behind an underscore or alone. */
const SECRET_NAME = new RegExp(
  `(?:${[
    // Anywhere at the end, because of PGPASSWORD and GITHUBAPIKEY.
    'PASSWORD|PASSWD|PASSPHRASE|APIKEY|CREDENTIALS?',
    // As a word of their own.
    '(?:^|_)(?:TOKEN|SECRETS?|KEY|API_KEYS|PASS|PAT|DSN|WEBHOOK|WEBHOOK_URL|COOKIE)',
    '_PWD',
    // Addresses that mostly have a password in them.
    '(?:^|_)(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|MYSQL|MONGO|MONGODB|REDIS|AMQP|RABBITMQ|BROKER)_?(?:URL|URI)',
    'CONN(?:ECTION)?_?STR(?:ING)?',
  ].join('|')})$`,
  'i',
);

export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/**
 * `scheme://user:password@`, the user perhaps empty. A password with an unescaped `@` goes up to the last one before the host. The scheme is left out: to look
 * for its beginning would take quadratic time in a long value.
 */
const URL_PASSWORD = /:\/\/([^\s/?#:@]*):([^\s/?#]+)@/g;

/**
 * The passwords of the addresses in a value, as they are written and decoded. One that is the user's name too (`postgres:postgres@`) is an ordinary word of the
 * output and no secret.
 */
export function passwordsIn(value: string): string[] {
  return [...value.matchAll(URL_PASSWORD)]
    .filter(([, user, password]) => password !== user)
    .flatMap(([, , password = '']) => [password, decoded(password)]);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
