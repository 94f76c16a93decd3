/** Upper bounds for attempts of an operation. */
export const ATTEMPT_BUCKETS: readonly number[] = [1, 2, 3, 4, 5, 7, 10, 15, 20];

/** Upper bounds for delays, in seconds. */
export const DELAY_BUCKETS: readonly number[] = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** So many names become labels; further ones are `other`. */
export const MOST_OPERATIONS = 100;

/** Categories, reasons, states and the like: few by nature, but a classifier may be anybody's. */
export const MOST_WORDS = 32;
