/**
 * Why a connection could not be made, as text: the cause, and the next step if there is one.
 * `fetch` and sockets hide the cause in `cause` or in a code; this unwraps both. Pure, and made for
 * the errors of Node; a browser reports no cause.
 */

interface ErrorLike {
  code?: unknown;
  message?: unknown;
  hostname?: unknown;
  address?: unknown;
  port?: unknown;
  cause?: unknown;
  errors?: unknown;
}

const CAUSE_DEPTH_MAX = 8;
/** The message for certificates that the system or Node does not trust. */
const OWN_CA = 'a certificate of an own CA must be known here: add it to the system store, or name its file in NODE_EXTRA_CA_CERTS';

export function describeConnectionFailure(error: unknown): string {
  const { code, message, where, host } = innermost(error);
  const at = where ? ` (${where})` : '';
  switch (code) {
    case 'ECONNREFUSED':
      return `connection refused${at}: nothing listens there (ECONNREFUSED)`;
    case 'ENOTFOUND':
      return `the name ${host} does not resolve (ENOTFOUND)`;
    case 'EAI_AGAIN':
      return `the name ${host} could not be resolved for now: no answer from DNS (EAI_AGAIN)`;
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return `no answer to the connection attempt${at} (${code})`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no route${at || ' to the host'} (${code})`;
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
      return `the connection was cut${at} (${code})`;
    case 'CERT_HAS_EXPIRED':
      return 'the certificate of the server has expired (CERT_HAS_EXPIRED); renew it, or correct the clock of this machine';
    case 'CERT_NOT_YET_VALID':
      return 'the certificate of the server is not valid yet (CERT_NOT_YET_VALID); correct the clock of this machine';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of the server is for another name (ERR_TLS_CERT_ALTNAME_INVALID): ${message}`;
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `the certificate of the server is not trusted (${code}); ${OWN_CA}`;
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return `the server does not speak TLS as expected (${code}); check http:// against https:// in the URL`;
    default:
      return code && !message.includes(code) ? `${message} (${code})` : message;
  }
}

/**
 * Code and message of the deepest cause that has one. Of several attempts (one per address) the
 * first is used.
 */
function innermost(error: unknown): { code: string; message: string; where: string; host: string } {
  let found = { code: '', message: '', where: '', host: 'of the coordinator' };
  let current: unknown = error;
  for (let depth = 0; depth < CAUSE_DEPTH_MAX && current !== undefined && current !== null; depth += 1) {
    if (typeof current !== 'object') {
      if (found.message === '') found = { ...found, message: String(current) };
      break;
    }
    const { code, message, hostname, address, port, cause, errors } = current as ErrorLike;
    const text = typeof message === 'string' ? message : '';
    const named = typeof code === 'string';
    if (named || (text !== '' && found.code === '')) {
      found = {
        code: named ? code : found.code,
        message: text || found.message,
        where: typeof address === 'string' ? `${address}${typeof port === 'number' ? `:${port}` : ''}` : found.where,
        host: typeof hostname === 'string' ? hostname : found.host,
      };
    }
    current = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
  return found.message === '' && found.code === '' ? { ...found, message: 'the connection could not be made' } : found;
}

/** The message for an HTTP answer that is not the coordinator's. `contentType` as in its header. */
export function describeForeignAnswer(status: number, contentType: string | null | undefined): string {
  const type = contentType?.split(';')[0] ?? '';
  const what = type === '' ? '' : ` (${type})`;
  return `HTTP ${status}${what}, which is no answer of the coordinator: something in between spoke`;
}
