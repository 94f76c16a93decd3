import type { Failure, Phase } from '@outlast/core-retry';
import { classifyMysql, errnoOf, isServerError } from './classify.js';
import { tokenise } from './sql-tokens.js';
import { analyse } from './statement.js';

// A procedure can commit on its way, and so can one of several statements in a text.
const COMMITS_ON_ITS_WAY = /^\s*(?:call|execute|load|\()/i;
const ENDS_A_TRANSACTION =
  /\b(?:commit|call|rollback|begin|start|create|alter|drop|truncate|lock|unlock|autocommit|insert|update|delete|replace|load)\b/i;
const NOWAIT = /\bnowait\b/i;

/**
 * Classifies the failure of one statement. An error of the server means that the statement was rolled back,
 * except where part of its text may have been committed before.
 */
export function classifyStatement(error: unknown, phase: Phase, text: string): Failure {
  const failure = classifyMysql(error, phase);
  if (phase === 'acquire' || phase === 'connect') return failure;
  // MariaDB answers NOWAIT with the number of a lock that was waited for; who says NOWAIT wants the error.
  if (errnoOf(error) === 1205 && NOWAIT.test(text)) return { ...failure, transient: false };
  if (failure.outcome === 'unknown' || !isServerError(error)) return failure;
  return mayHaveCommittedPart(text) ? { ...failure, outcome: 'unknown' } : failure;
}

/** The SQL of whatever `query` was given. */
export function textOf(sql: unknown): string {
  if (typeof sql === 'string') return sql;
  const text = (sql as { sql?: unknown } | null | undefined)?.sql;
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
  return text.replace(/^(\s|--.*\n|#.*\n|\/\*[\s\S]*?\*\/)+/, '');
}
