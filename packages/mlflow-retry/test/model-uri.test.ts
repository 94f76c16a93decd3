import { isOptionError } from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseModelUri } from '../src/model-uri.js';

const ID = 'm-0123456789abcdef0123456789abcdef';

describe('model URIs', () => {
  it.each([
    ['models:/churn/12', { kind: 'version', name: 'churn', version: '12', subPath: '' }],
    ['models:///churn/12', { kind: 'version', name: 'churn', version: '12', subPath: '' }],
    ['models:/churn/12/', { kind: 'version', name: 'churn', version: '12', subPath: '' }],
    ['Models:/churn/12', { kind: 'version', name: 'churn', version: '12', subPath: '' }],
    [
      'models:/churn/12/data/w.bin',
      { kind: 'version', name: 'churn', version: '12', subPath: 'data/w.bin' },
    ],
    ['models:/churn@champion', { kind: 'alias', name: 'churn', alias: 'champion', subPath: '' }],
    [
      'models:/a@b@champion/data',
      { kind: 'alias', name: 'a@b', alias: 'champion', subPath: 'data' },
    ],
    [
      'models:/churn/Production',
      { kind: 'stage', name: 'churn', stage: 'Production', subPath: '' },
    ],
    ['models:/churn/staging/x', { kind: 'stage', name: 'churn', stage: 'Staging', subPath: 'x' }],
    ['models:/churn/Latest', { kind: 'latest', name: 'churn', subPath: '' }],
    [`models:/${ID}`, { kind: 'logged-model', modelId: ID, subPath: '' }],
    [`models:/${ID}/data`, { kind: 'logged-model', modelId: ID, subPath: 'data' }],
    ['models:/m-1', { kind: 'logged-model', modelId: 'm-1', subPath: '' }],
    ['models:/m-1/2', { kind: 'version', name: 'm-1', version: '2', subPath: '' }],
    ['models:/a b%?+#é/3', { kind: 'version', name: 'a b%?+#é', version: '3', subPath: '' }],
    ['runs:/0a1b/model', { kind: 'run', runId: '0a1b', subPath: 'model' }],
    ['runs:/0a1b', { kind: 'run', runId: '0a1b', subPath: '' }],
    ['mlflow-artifacts:/1/r/artifacts/m', { kind: 'artifacts', subPath: '1/r/artifacts/m' }],
    ['mlflow-artifacts:///1/r', { kind: 'artifacts', subPath: '1/r' }],
    ['mlflow-artifacts://host:5000/1/r', { kind: 'artifacts', host: 'host:5000', subPath: '1/r' }],
  ])('%s', (uri, expected) => {
    expect(parseModelUri(uri)).toEqual(expected);
  });

  it.each([
    ['', 'models:/name/12'],
    ['churn', 'models:/name/12'],
    ['model:/churn/12', 'models:/name/12'],
    ['s3://bucket/model', 'models:/name/12'],
    ['http://host/model', 'models:/name/12'],
    ['models:churn/12', 'models:/name/12'],
    ['models://churn/12', 'models:/name/12'],
    ['models:/', 'models:/name/12'],
    ['models:/churn', 'models:/name@champion'],
    ['models:/churn/', 'models:/name@champion'],
    ['models:/churn@', 'models:/name@champion'],
    ['models:/@champion', 'models:/churn/12'],
    ['models:/a:b/1', 'models:/churn/12'],
    ['models:/churn/champion', "'models:/name@alias'"],
    ['models:/churn/1.0', "'models:/name@alias'"],
    ['models:/churn/-1', "'models:/name@alias'"],
    ['models:/churn/1/../x', 'models:/churn/12/data'],
    ['models:/churn/1/a//b', 'models:/churn/12/data'],
    ['models:/churn/1/a\\b', 'models:/churn/12/data'],
    ['models:/churn/1\n', 'control characters'],
    ['models:/churn/1/a\0b', 'control characters'],
    ['runs:/', 'runs:/0123'],
    ['runs:/a b/model', 'runs:/0123'],
    ['runs:/../x', 'runs:/0123'],
    ['mlflow-artifacts:/', 'mlflow-artifacts:/1/'],
    ['mlflow-artifacts:1/x', 'mlflow-artifacts:/1/'],
    ['mlflow-artifacts://5000/x', 'mlflow-artifacts://host:5000'],
    ['mlflow-artifacts://user:secret@host/x', 'mlflow-artifacts://host:5000'],
    ['mlflow-artifacts:/a/../../b', 'models:/churn/12/data'],
  ])('%j is refused, and a right one is shown', (uri, right) => {
    let error: unknown;
    try {
      parseModelUri(uri);
    } catch (thrown) {
      error = thrown;
    }
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toContain(right);
    expect(String(error)).not.toContain('secret');
  });

  it.each([undefined, null, 12, {}, []])('%j is refused', (uri) => {
    expect(() => parseModelUri(uri as string)).toThrow("'models:/name/12'");
  });

  it('gives a reference without a way out, or an OptionError, for any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc
            .array(
              fc.constantFrom(
                'models:',
                'runs:',
                'mlflow-artifacts:',
                '/',
                '..',
                '.',
                '@',
                'a',
                '1',
                '\\',
                'latest',
              ),
            )
            .map((parts) => parts.join('')),
        ),
        (uri) => {
          try {
            const { subPath } = parseModelUri(uri);
            expect(subPath.split('/')).not.toContain('..');
            expect(subPath.startsWith('/')).toBe(false);
          } catch (error) {
            expect(isOptionError(error)).toBe(true);
          }
        },
      ),
    );
  });
});
