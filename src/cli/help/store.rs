//! Help on `chr-node store`.

pub(super) const TEXT: &str = "\
Look after the store: the file that a node keeps everything in (tickets,
statistics, other nodes, what it keeps for others). Its key is not in there.

Usage: chr-node store check        [options]
       chr-node store compact      [options]
       chr-node store export       [--output FILE] [options]
       chr-node store import FILE  [--replace] [options]

  check   walk the file and say what is in it and whether it is sound. Nothing
          is written, and a damaged file can be looked at, too. Not while the
          node runs: its file changes then
  compact make the file as short as its rows are, by a copy that takes its
          place. Not while the node runs; the disk needs room for the copy
  export  write all rows as lines of JSON, one object a row. While the node
          runs, too: a backup of one moment, without a pause
  import  read such lines, into an empty store or into one with rows: all of
          them or, if a line is bad, none. Rows that the store has stay as
          they are. Not while the node runs

Options:
  --config FILE      the node's settings: storage.store_dir may be in them
  --data-dir DIR     the node's folder [./data, or DATA_DIR]
  --set KEY=VALUE    storage.store_dir=DIR, say; --profile NAME is taken, too
  --output FILE      export to this file (mode 0600) [standard output]
  --replace          rows of the file win over those of the store
  --json             one object. check: file, sound, written_by, schema, bytes,
                     page_size, free_pages, tables (name, rows, bytes,
                     damaged), flaws (page, text), flaw_count. compact: before,
                     after (bytes). import: added, replaced, same, left (rows)
  -h, --help         this text
  -V, --version      name and version

Exit code 0: it is sound, or done. 1: it is damaged, missing or in use.

Example:
  chr-node store export --data-dir /var/lib/chr-node --output backup.jsonl
";
