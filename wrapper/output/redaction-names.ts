/**
 * Which variables are secret by name or value, and which parts of a value are secret. Pure.
 *
 * Does not own: how a secret is spelled in the output (redaction-forms), nor the search
 * (redaction-search).
 */

/**
 * `MONKEY` is not a key, and `PWD` is the working directory: short words match only after an
 * underscore or alone.
 */
const SECRET_NAME = new RegExp(
  `(?:${[
    // Matched at the end of a name without a separator, for PGPASSWORD and GITHUBAPIKEY.
    'PASSWORD|PASSWD|PASSPHRASE|APIKEY|CREDENTIALS?',
    // Matched as separate words.
    '(?:^|_)(?:TOKEN|SECRETS?|KEY|API_KEYS|PASS|PAT|DSN|WEBHOOK|WEBHOOK_URL|COOKIE)',
    '_PWD',
    // Addresses that usually contain a password.
    '(?:^|_)(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|MYSQL|MONGO|MONGODB|REDIS|AMQP|RABBITMQ|BROKER)_?(?:URL|URI)',
    'CONN(?:ECTION)?_?STR(?:ING)?',
  ].join('|')})$`,
  'i',
);

export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/**
 * `scheme://user:password@`; the user may be empty. A password with an unescaped `@` extends to the
 * last one before the host. The scheme is not matched: finding its beginning would take quadratic
 * time in a long value.
 */
const URL_PASSWORD = /:\/\/([^\s/?#:@]*):([^\s/?#]+)@/g;

/**
 * The passwords of the addresses in a value, both as written and decoded. A password equal to the
 * user's name (`postgres:postgres@`) is an ordinary word of the output and not a secret.
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
