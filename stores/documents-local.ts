import type { Documents } from '../core/ports.ts';
import type { Database } from './sqlite.ts';

export const DOCUMENT_TABLE =
  'CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id)) STRICT;';

/** JSON documents in SQLite. The last `put` of a kind and id holds. */
export function localDocuments(db: Database): Documents {
  return {
    async put(kind, id, document) {
      const body = JSON.stringify(document);
      if (body === undefined) throw new TypeError(`A document is JSON, and ${typeof document} is none.`);
      db.transaction((sql) => {
        sql.prepare('INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body').run(kind, id, body);
      });
    },
    async get<T>(kind: string, id: string) {
      const row = db.read((sql) => sql.prepare('SELECT body FROM documents WHERE kind = ? AND id = ?').get(kind, id));
      return row === undefined ? null : (JSON.parse(String(row['body'])) as T);
    },
    async remove(kind, id) {
      db.transaction((sql) => {
        sql.prepare('DELETE FROM documents WHERE kind = ? AND id = ?').run(kind, id);
      });
    },
    async list<T>(kind: string, options: { readonly limit?: number } = {}) {
      const rows = db.read((sql) =>
        sql.prepare('SELECT id, body FROM documents WHERE kind = ? ORDER BY id DESC LIMIT ?').all(kind, options.limit ?? -1),
      );
      return rows.map((row) => ({ id: String(row['id']), document: JSON.parse(String(row['body'])) as T }));
    },
  };
}
