import type { Token } from './sql-tokens.js';

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/));

/** Words before a parenthesis that call nothing: clauses, operators, types of CAST, hints. */
const NOT_CALLABLE = words(`
  all and any as between by case cross distinct distinctrow div else except exists force for from
  having ignore in index inner intersect is join key left like limit mod natural not on or order outer
  over partition primary regexp returning right rlike rollup row select some straight_join table then
  union use using values when where window with within xor binary char character date datetime dec
  decimal double float int integer nchar numeric real time varchar year against collate`);

/**
 * Functions that only compute, and that every supported server (MySQL 5.7 and later, MariaDB 10.3 and
 * later) has built in: an unqualified name then means the built-in and nothing else. Source: both
 * manuals' lists of functions; left out are locks, what its session alone knows (LAST_INSERT_ID, ROW_COUNT,
 * FOUND_ROWS) and what reads files.
 */
export const HARMLESS: ReadonlySet<string> = words(`
  abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg bin bit_and bit_count
  bit_length bit_or bit_xor cast ceil ceiling char_length character_length charset coalesce coercibility
  collation compress concat concat_ws connection_id conv convert convert_tz cos cot count crc32 curdate
  current_date current_time current_timestamp current_user curtime database date_add date_format date_sub
  datediff day dayname dayofmonth dayofweek dayofyear default degrees elt exp export_set extract
  extractvalue field find_in_set floor format from_base64 from_days from_unixtime get_format greatest
  group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval isnull
  is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 json_array json_array_append json_array_insert json_contains
  json_contains_path json_depth json_extract json_insert json_keys json_length json_merge json_object
  json_quote json_remove json_replace json_search json_set json_type json_unquote json_valid last_day
  lcase least length ln localtime localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate
  maketime max md5 microsecond mid min minute month monthname name_const now nullif oct octet_length ord
  period_add period_diff pi position pow power quarter quote radians rand repeat reverse round rpad rtrim
  schema sec_to_time second session_user sha sha1 sha2 sign sin sleep soundex space sqrt std stddev
  stddev_pop stddev_samp str_to_date strcmp subdate substr substring substring_index subtime sum sysdate
  system_user tan time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days
  to_seconds trim truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user
  utc_date utc_time utc_timestamp uuid uuid_short var_pop var_samp variance version week weekday weekofyear
  weight_string yearweek benchmark match row_number rank dense_rank percent_rank cume_dist ntile lag lead
  first_value last_value nth_value`);

/**
 * As {@link HARMLESS}, but built in on some of the servers only; elsewhere somebody may have made a stored
 * function of that name, so that the catalogue has to be asked.
 */
export const HARMLESS_IF_BUILT_IN: ReadonlySet<string> = words(`
  any_value bin_to_uuid format_bytes grouping is_uuid json_arrayagg json_merge_patch json_merge_preserve
  json_objectagg json_overlaps json_pretty json_query json_storage_size json_table json_value median
  natural_sort_key percentile_cont percentile_disc random_bytes regexp_instr regexp_like regexp_replace
  regexp_substr sformat st_astext st_asgeojson st_distance st_distance_sphere st_contains st_within
  st_x st_y st_geomfromtext to_char uuid_to_bin`);

const isName = (token: Token | undefined): boolean =>
  token?.type === 'word' || token?.type === 'quoted';

/**
 * Every function name that a statement calls by `name(…)`, each once. A column list that follows a name
 * counts as a call: what stands on no list makes a text no read. `undefined` where what is called is left
 * to a placeholder.
 */
export function calledFunctions(tokens: readonly Token[]): string[] | undefined {
  const ctes = namesOfCtes(tokens);
  const names = new Set<string>();
  for (const [open, token] of tokens.entries()) {
    if (token.type !== '(') continue;
    const before = tokens[open - 1];
    if (before?.type === 'operator' && before.text === '?') return undefined;
    if (!isName(before) || ctes.has(open - 1)) continue;
    let start = open - 1;
    while (tokens[start - 1]?.type === '.' && isName(tokens[start - 2])) start -= 2;
    const plain = start === open - 1 && before?.type === 'word';
    if (plain && NOT_CALLABLE.has(before.text)) continue;
    const parts = tokens.slice(start, open).filter((part) => part.type !== '.');
    const name = parts.map((part) => part.text.toLowerCase()).join('.');
    // In back ticks it is a stored function, whatever is built in under that name.
    names.add(parts.length === 1 && before?.type === 'quoted' ? `\`${name}\`` : name);
  }
  return [...names];
}

/** Where the names of CTEs stand: behind WITH and RECURSIVE, and behind the commas of its list. */
function namesOfCtes(tokens: readonly Token[]): ReadonlySet<number> {
  const starts = new Set<number>();
  let depth = 0;
  let inList = false;
  for (const [at, token] of tokens.entries()) {
    if (token.type === '(') depth++;
    else if (token.type === ')') depth--;
    else if (depth > 0) continue;
    else if (token.type === ',' && inList) starts.add(at + 1);
    else if (token.type !== 'word') continue;
    else if (token.text === 'with' && at === 0) {
      inList = true;
      starts.add(tokens[1]?.type === 'word' && tokens[1].text === 'recursive' ? 2 : 1);
    } else if (/^(?:select|values|table|update|delete)$/.test(token.text)) inList = false;
  }
  return starts;
}
