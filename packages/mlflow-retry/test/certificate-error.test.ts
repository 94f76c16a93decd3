import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readAnswer } from '../src/answer.js';
import { distrust } from '../src/certificate-error.js';
import { classifyMlflow, isCertificateError, MlflowError } from '../src/index.js';

const ORIGIN = 'https://mlflow.example.com';
const error = (code: string): Error => Object.assign(new Error('of Node'), { code });

describe('a certificate that is not believed', () => {
  it.each([
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)'],
    ['CERT_UNTRUSTED', 'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)'],
    ['CERT_HAS_EXPIRED', 'clock'],
    ['CERT_NOT_YET_VALID', 'clock'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'trackingUri'],
    ['HOSTNAME_MISMATCH', 'trackingUri'],
    [
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
      'clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)',
    ],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)'],
  ])('by %s says what to do, and is final', (code, cure) => {
    const cause = error(code);
    const named = distrust(cause, ORIGIN);
    expect(named?.message).toContain(`${ORIGIN} (${code})`);
    expect(named?.message).toContain(cure);
    expect(named).toMatchObject({ name: 'CertificateError', code, cause });
    expect(isCertificateError(named)).toBe(true);
    const failure = classifyMlflow(named, 'connect');
    expect(failure).toMatchObject({ transient: false, outcome: 'not-applied' });
  });

  it.each(['ECONNRESET', 'EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'toString', ''])(
    'is not what %s says',
    (code) => {
      expect(distrust(error(code), ORIGIN)).toBe(undefined);
      expect(isCertificateError(error(code))).toBe(false);
    },
  );

  it('is not what an error without a code says', () => {
    expect(distrust(new Error('x'), ORIGIN)).toBe(undefined);
    expect(distrust({ code: 5 }, ORIGIN)).toBe(undefined);
  });

  it('may be ours, which nginx says with a page', () => {
    for (const title of [
      '400 No required SSL certificate was sent',
      '400 The SSL certificate error',
    ]) {
      const page = `<html>\r\n<head><title>${title}</title></head>\r\n<body></body></html>`;
      const answer = readAnswer(400, { 'content-type': 'text/html' }, page);
      const refused = new MlflowError('mlflow.getRun', answer);
      expect(refused.message).toContain(title);
      expect(refused.message).toContain('clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)');
      expect(classifyMlflow(refused, 'sent').transient).toBe(false);
    }
    const other = readAnswer(404, {}, '<html><title>404 Not Found</title></html>');
    expect(inspect(other)).not.toContain('clientCertPath');
  });
});
