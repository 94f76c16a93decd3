import type { Failure, Phase } from '@outlast/core-retry';
import { classifyPg, isServerError } from './classify.js';
import { tokenise } from './sql-tokens.js';
import { analyse } from './statement.js';

// A procedure or a DO block can commit on its way, and so do what works on one table after the other, and what
// is done CONCURRENTLY: an index that could not be built stays behind, invalid.
const COMMITS_ON_ITS_WAY = /^\s*(?:call|do|vacuum|cluster|reindex)\b|\bconcurrently\b/i;
const ENDS_A_TRANSACTION = /\b(commit|end|call|do|prepare|rollback|abort)\b/i;

/**
 * Classifies the failure of one statement. An ERROR means that the statement was rolled back, except
 * where part of its text may have been committed before.
 */
export function classifyStatement(error: unknown, phase: Phase, text: string): Failure {
  const failure = classifyPg(error, phase);
  if (phase === 'acquire' || phase === 'connect' || failure.outcome === 'unknown') return failure;
  return isServerError(error) && mayHaveCommittedPart(text)
    ? { ...failure, outcome: 'unknown' }
    : failure;
}

/** The SQL of whatever `query` was given. */
export function textOf(config: unknown): string {
  if (typeof config === 'string') return config;
  const text = (config as { text?: unknown } | null | undefined)?.text;
  return typeof text === 'string' ? text : '';
}

function mayHaveCommittedPart(text: string): boolean {
  const { kind } = analyse(text);
  // Of a text that could not be read through it is not known that it is one statement.
  const unread = kind === 'other' && tokenise(text) === undefined;
  if (kind === 'multiple' || unread) return ENDS_A_TRANSACTION.test(text);
  return kind === 'other' && COMMITS_ON_ITS_WAY.test(withoutLeadingComments(text));
}

function withoutLeadingComments(text: string): string {
  return text.replace(/^(\s|--.*\n|\/\*[\s\S]*?\*\/)+/, '');
}
