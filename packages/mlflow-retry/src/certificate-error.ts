import { isOutlastError, OutlastError } from '@outlast/core-retry';

/** What cures a server that wants to know who asks, and says so in its own words. */
export const GIVE_CLIENT_CERTIFICATE =
  'Name a certificate that the server accepts by clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)';

/** One of the two sides does not believe the other's certificate. `code` is Node's: `DEPTH_ZERO_SELF_SIGNED_CERT`, … */
export class CertificateError extends OutlastError {
  /** @param origin of the server @param cause Node's own error */
  constructor(origin: string, code: string, cure: string, cause: unknown) {
    super(code, `There is no safe connection to ${origin} (${code}). ${cure}.`, { cause });
  }
}

/** True for {@link CertificateError}, also from another copy of the package. */
export function isCertificateError(error: unknown): error is CertificateError {
  return isOutlastError(error) && cureOf(error.code) !== undefined;
}

/** What an error of Node's says of certificates, with what to do about it; undefined if it says nothing of them. */
export function distrust(error: object, origin: string): CertificateError | undefined {
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string') return undefined;
  const cure = cureOf(code);
  return cure === undefined ? undefined : new CertificateError(origin, code, cure, error);
}

const INSECURE = 'insecureTls (MLFLOW_TRACKING_INSECURE_TLS) takes any certificate for good';

/** By code, as OpenSSL and Node have them; the first that matches. */
const CURES: readonly (readonly [RegExp, string])[] = [
  [
    /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
    `Its certificate is not valid today: look at it and at this machine's clock; ${INSECURE}`,
  ],
  [
    /^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/,
    `Its certificate is for another name: write trackingUri with a name that it bears; ${INSECURE}`,
  ],
  [
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|CERT_.*)$/,
    `Name the authority that signed its certificate by serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH); ${INSECURE}`,
  ],
  // What the other side said of ours, or of its absence.
  [/^ERR_SSL_.*ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/, GIVE_CLIENT_CERTIFICATE],
];

function cureOf(code: string): string | undefined {
  return CURES.find(([pattern]) => pattern.test(code))?.[1];
}
