/**
 * What makes DuckDB speak the Trino subset (docs/sql.md): each macro gives a Trino function its Trino name, arguments and meaning.
 * `system.main.f` is DuckDB's own. Parameter types make DuckDB refuse what Trino refuses.
 */
export const MACROS: readonly string[] = [
  'CREATE MACRO to_utf8(s) AS encode(s)',
  'CREATE MACRO to_hex(b) AS hex(b)',
  'CREATE MACRO sha256(b BLOB) AS unhex(system.main.sha256(b))',
  // Hex is the only base the product uses: a digit of a hash.
  `CREATE MACRO from_base(s, base) AS CASE WHEN base = 16 THEN CAST('0x' || s AS bigint) ELSE error('from_base: only base 16') END`,
  'CREATE MACRO regexp_like(s, p) AS regexp_matches(s, p)',
  `CREATE MACRO regexp_replace(s, p, r) AS system.main.regexp_replace(s, p, r, 'g')`,
  'CREATE MACRO date_diff(unit, a, b) AS system.main.date_sub(unit, a, b)',
  `CREATE MACRO date_add(unit, n, t) AS t + CASE unit WHEN 'day' THEN to_days(CAST(n AS integer)) WHEN 'hour' THEN to_hours(n)
     WHEN 'month' THEN to_months(CAST(n AS integer)) WHEN 'minute' THEN to_minutes(n) WHEN 'second' THEN to_seconds(CAST(n AS double)) END`,
  'CREATE MACRO concat(a, b) AS a || b, (a, b, c) AS a || b || c, (a, b, c, d) AS a || b || c || d',
  'CREATE MACRO element_at(m, k) AS m[k]',
  'CREATE MACRO cardinality(a) AS len(a)',
  'CREATE MACRO array_join(a, s) AS array_to_string(a, s)',
  'CREATE MACRO array_remove(a, x) AS list_filter(a, lambda y: y IS DISTINCT FROM x)',
  'CREATE MACRO array_except(a, b) AS list_filter(list_distinct(a), lambda y: NOT list_contains(b, y))',
  'CREATE MACRO array_union(a, b) AS list_distinct(list_concat(a, b))',
  'CREATE MACRO json_extract_scalar(j, p) AS json_extract_string(j, p)',
  'CREATE MACRO normalize(s) AS nfc_normalize(s)',
];

/** Settings of every connection, in the order they are made. */
export const SETTINGS: readonly string[] = ['SET integer_division = true', `SET TimeZone = 'UTC'`, 'SET preserve_insertion_order = false'];
