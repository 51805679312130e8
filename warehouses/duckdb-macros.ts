/**
 * What makes DuckDB speak the Trino subset (docs/sql.md): each macro gives a Trino function its Trino name, arguments and meaning.
 * `system.main.f` is DuckDB's own. Types of parameters make DuckDB refuse what Trino refuses.
 */
export const MACROS: readonly string[] = [
  'CREATE MACRO to_utf8(s VARCHAR) AS encode(s)',
  'CREATE MACRO from_utf8(b BLOB) AS decode(b)',
  'CREATE MACRO to_hex(b BLOB) AS hex(b)',
  'CREATE MACRO from_hex(s VARCHAR) AS unhex(s)',
  // DuckDB answers with hex text and takes a text: a hash of a hash, silently.
  'CREATE MACRO sha256(b BLOB) AS unhex(system.main.sha256(b))',
  'CREATE MACRO md5(b BLOB) AS unhex(system.main.md5(b))',
  // Hex is the only base the product uses: a digit of a hash.
  `CREATE MACRO from_base(s, radix) AS CASE WHEN radix = 16 THEN CAST('0x' || s AS bigint) ELSE error('from_base: only base 16') END`,
  'CREATE MACRO regexp_like(s, p) AS regexp_matches(s, p)',
  `CREATE MACRO regexp_replace(s, p, r) AS system.main.regexp_replace(s, p, r, 'g')`,
  // Whole units between, as Trino counts; DuckDB's date_diff counts the boundaries that are crossed.
  'CREATE MACRO date_diff(unit, a, b) AS system.main.date_sub(unit, a, b)',
  `CREATE MACRO date_add(unit, n, t) AS t + CASE unit
     WHEN 'millisecond' THEN to_milliseconds(n) WHEN 'second' THEN to_seconds(n) WHEN 'minute' THEN to_minutes(n) WHEN 'hour' THEN to_hours(n)
     WHEN 'day' THEN to_days(CAST(n AS integer)) WHEN 'week' THEN to_weeks(CAST(n AS integer)) WHEN 'month' THEN to_months(CAST(n AS integer))
     WHEN 'quarter' THEN to_months(CAST(3 * n AS integer)) WHEN 'year' THEN to_years(CAST(n AS integer))
     ELSE error('date_add: unknown unit') END`,
  // Trino's concat, greatest and least are NULL when anything is.
  'CREATE MACRO concat(a, b) AS a || b, (a, b, c) AS a || b || c, (a, b, c, d) AS a || b || c || d, (a, b, c, d, e) AS a || b || c || d || e',
  `CREATE MACRO greatest(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE system.main.greatest(a, b) END,
     (a, b, c) AS CASE WHEN a IS NULL OR b IS NULL OR c IS NULL THEN NULL ELSE system.main.greatest(a, b, c) END`,
  `CREATE MACRO least(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE system.main.least(a, b) END,
     (a, b, c) AS CASE WHEN a IS NULL OR b IS NULL OR c IS NULL THEN NULL ELSE system.main.least(a, b, c) END`,
  'CREATE MACRO element_at(m, k) AS m[k]',
  'CREATE MACRO cardinality(a) AS len(a)',
  'CREATE MACRO array_join(a, s) AS array_to_string(a, s)',
  'CREATE MACRO array_remove(a, x) AS list_filter(a, lambda y: y <> x)',
  // In the order of the first array, each once, as Trino answers.
  'CREATE MACRO array_except(a, b) AS list_filter(a, lambda y, i: list_position(a, y) = i AND list_position(b, y) IS NULL)',
  'CREATE MACRO array_union(a, b) AS list_filter(list_concat(a, b), lambda y, i: list_position(list_concat(a, b), y) = i)',
  'CREATE MACRO array_distinct(a) AS list_filter(a, lambda y, i: list_position(a, y) = i)',
  'CREATE MACRO day_of_week(t) AS isodow(t)',
  'CREATE MACRO day_of_year(t) AS dayofyear(t)',
  'CREATE MACRO json_extract_scalar(j, p) AS json_extract_string(j, p)',
  'CREATE MACRO normalize(s) AS nfc_normalize(s)',
  'CREATE MACRO to_unixtime(t) AS system.main.epoch(t)',
  `CREATE MACRO from_unixtime(n) AS to_timestamp(n)`,
];

/** Settings of every connection, in the order they are made. */
export const SETTINGS: readonly string[] = [
  'SET integer_division = true',
  `SET TimeZone = 'UTC'`,
  // Whether and how NULLs sort is said in the text; no result depends on the order of rows.
  'SET preserve_insertion_order = false',
  'SET errors_as_json = true',
];
