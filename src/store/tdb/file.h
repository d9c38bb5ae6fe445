/*
 * The counter file, a TDB: what the files of store/tdb share. In the order in which they use each
 * other: signals, header, meta, open, replace, read, update, compact, scan, rescue, guard.
 *
 * How the file is written, and why: a process may be killed at any instruction, and TDB survives
 * that only for some of its operations. An overwrite in place with the same size does, if the
 * record's format bears a torn write, and so does an insert (the record is complete before its
 * chain points at it). A deletion or a store of another size does so only in a TDB transaction.
 * So nothing is deleted in normal work, and a record changes its size in a TDB transaction.
 * Compaction gets rid of what nobody needs: it copies the live records into a new file, which then
 * takes the name. Other processes find out under their next lock, and open the new file.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FILE_H
#define FILE_H

#include "store/backend.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <tdb.h>

/* Hash chains of a new file; compaction chooses more. */
#define FILE_HASH_SIZE_NEW 4093

/* How often an operation starts again because the file was replaced. */
#define FILE_TRIES 10

/* What the record :meta of a file says. */
struct meta {
	uint8_t secret[HASH_KEY_BYTES];
	int64_t compacted_ms; /* when compaction last began, or the file was made */
	int64_t compaction_took_ms; /* CPU time */
	uint64_t compacted_size; /* of the file after that, in bytes */
	uint64_t boot_id; /* of the system's run in which the file was last found sound */
};

/* A stored key: eight digits of a hash, a blank, and the caller's key. */
#define KEY_PREFIX 9
#define KEY_STORED_MAX 320

struct file {
	struct store store;
	struct tdb_context *tdb; /* NULL: not open */
	struct tdb_context *new; /* which compaction or rescue writes; else NULL */
	struct tdb_context *scratch; /* of a scan; else NULL */
	int lock_fd; /* holds locks of the file while it is opened or rescued; else -1 */
	dev_t device; /* of the open file, or of the one that could not be opened */
	ino_t inode;
	uid_t owner;
	bool other_hash; /* than ours: chains have another order */
	struct meta meta; /* of the open file */

	/* How a replaced file is noticed: see file_is_replaced. */
	int seqnum;
	bool recheck; /* before the next operation: was it replaced by hand? */
	bool replaced; /* an operation found that the name stands for another file */
	bool cut_off; /* the file is shorter than what was mapped */
	bool doubted; /* since the last success rescue_run has looked whether it is sound */

	bool compaction_due; /* the last insert left the file doubled, or found it full */
	int64_t full_ms; /* since when it is full, by the monotonic clock; 0: it is not */

	/* TDB's complaints since they were last cleared. The text is for messages alone. */
	enum tdb_debug_level complaint; /* the worst of them */
	char message[200];

	/* Of rescue.c. */
	int64_t rescued_ms; /* by the monotonic clock; 0: never */
	struct error rescue_error; /* why it did not work then; "": it did */
	char notice[PATH_MAX + 600];
	bool noticed; /* there is a notice that nobody has asked for */
};

/*
 * signals.c: the signals and limits of this process that TDB's use of a file needs; nothing else
 * sets them. May be prepared again.
 */
void signals_prepare(void);

/*
 * SIGALRM bounds waiting for locks: TDB's blocking calls fail once signals_alarm_rang is set
 * (tdb_setalarm_sigptr). It rings again and again, since the first ring may come just before a
 * call blocks.
 */
extern volatile sig_atomic_t signals_alarm_rang;
void signals_alarm_start(const struct file *file); /* in its lock_timeout_ms */
void signals_alarm_ensure(const struct file *file); /* the same unless it is running */
void signals_alarm_stop(void); /* costs nothing if it isn't */

/*
 * SIGBUS means that the mapped file was cut off, or that its disk fails. While armed it jumps to
 * signals_bus_jump, which disarms it; otherwise it ends the process as usual.
 */
extern sigjmp_buf signals_bus_jump;
void signals_bus_arm(bool armed);

/*
 * Bounds the size of any file that this process writes, so that the kernel itself stops TDB from
 * growing its file; and removes the bound. -1 and errno.
 */
int signals_bound_files(uint64_t bytes);
void signals_unbound_files(void);

/* meta.c: another name for the bytes that TDB takes and gives. */
TDB_DATA file_data(const void *bytes, size_t size);

/*
 * The stored key of a caller's key, in buffer. The prefix makes it impossible to choose keys
 * that lie on one hash chain: TDB's own hash has no secret.
 */
TDB_DATA key_store(const uint8_t secret[HASH_KEY_BYTES], const char *key, size_t key_length,
    char buffer[KEY_STORED_MAX]);

/* The caller's key in a stored one; its length. NULL: it is no key of a record of ours. */
const char *key_original(TDB_DATA stored, size_t *key_length);

/* The key of the record :meta. */
TDB_DATA key_meta(void);
bool key_is_meta(TDB_DATA stored);

/* Writes the record :meta, by tdb_store with that flag. 0 or -1. */
int meta_write(struct tdb_context *tdb, const struct meta *meta, int flag);

enum meta_result { META_OK, META_BAD, META_NEWER /* of a later version */ };
enum meta_result meta_read(struct meta *meta, TDB_DATA record);

/* Values for a new file of that size; the secret is drawn if fresh_secret. 0, or -1 and errno. */
int meta_init(struct meta *meta, uint64_t file_size, bool fresh_secret);

/* A number for the time since the system was started; 0 if there is none. */
uint64_t meta_boot_id(void);

/*
 * header.c: whether TDB can be trusted with the file, which may be anything. False: its recovery
 * area is damaged. other_hash: it has TDB's default hash function, as what tdbbackup(8) writes.
 */
bool header_is_safe(int fd, bool *other_hash);

/* open.c: forgets TDB's complaints. */
void file_clear_complaint(struct file *file);

/* Whether TDB has complained of the file since then: what it calls absent may be damaged. */
bool file_has_complaint(const struct file *file);

/* The result for a failure of TDB's or of the system's (errno), and its text. */
enum store_result file_failed(struct file *file, struct error *error, const char *what);

/* Returns the result; sets the text "PATH: WHAT: WHY", or "PATH: WHAT" if why is NULL. */
enum store_result file_error(enum store_result result, struct error *error, const char *path,
    const char *what, const char *why);

/*
 * Opens the file if it is not open, and makes it if access is STORE_CREATE. Reports damage,
 * STORE_DAMAGED, and repairs nothing. Waits for locks: under an alarm.
 */
enum store_result file_open(struct file *file, struct error *error);

/* Closes all that is open, the new and the scratch file too. */
void file_close(struct file *file);

/* Closes one of them, if it is open. */
void file_drop(struct tdb_context **tdb);

/*
 * Opens path and waits, under an alarm, for a lock on its first bytes, 0: all of them; for none
 * if flags are O_RDONLY. 0, or -1 and errno. Sets lock_fd; file_unlock closes it and leaves errno.
 */
int file_open_locked(struct file *file, const char *path, int flags, off_t bytes);
void file_unlock(struct file *file);

/* Notes which file is open as tdb, and in which state. */
void file_note_opened(struct file *file);

/* Reads the record :meta of the open file. */
enum meta_result file_read_meta(struct file *file, struct meta *meta);

/*
 * Under a lock in the open file: whether its name stands for another file, or for none; or it
 * was cut off, or opened to others. Sets file->replaced then; the operation ends at once and the
 * guard starts it again. Compaction and rescue raise TDB's sequence number before they rename,
 * so that this costs no system call. A replacement by hand is noticed after store_recheck.
 */
bool file_is_replaced(struct file *file);

/*
 * The same, also if it was replaced by hand, which raises no number: by another file of that name
 * or by other bytes in this one. Waits for the lock of :meta, so the caller holds the locks of all
 * chains or of none.
 */
bool file_is_replaced_by_hand(struct file *file);

/* Raises the sequence number: others check what the name stands for. */
void file_announce_replacement(struct file *file);

/* A new TDB of that hash size at path, which must not exist. NULL, errno and a message. */
struct tdb_context *file_make(struct file *file, const char *path, unsigned hash_size);

/* Hash chains for that many keys. */
unsigned file_hash_size(size_t keys);

/* Writes a record into a new file, without the quarter of free room that TDB adds. 0 or -1. */
int file_write_new(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record);

/*
 * replace.c: where the new file is made for the one that file->inode names: PATH.new-INODE. Where
 * PATH is a symbolic link, both are of the file that it leads to. 0, or -1 and why.
 */
int replace_path(
    const struct file *file, char real[PATH_MAX], char new[PATH_MAX], struct error *error);

/*
 * Removes what killed processes left under that name, and what others write under names like it:
 * for a process that holds the lock of the file that has the name, so that the others can't take
 * it any more.
 */
void replace_clean(const char *new);

/*
 * Gives file->new, which has the name new, the name real in place of the file that file->inode
 * names, which keeps no name. 0. 1: it has lost that name to yet another file, which keeps it, or
 * it was removed; file->replaced is set. -1 and errno: nothing was done.
 */
int replace_name(struct file *file, const char *new, const char *real);

/*
 * read.c: calls visit for every record, each under the lock of its chain alone, until it returns
 * another value than 0. 0, or -1 if TDB failed.
 */
typedef int file_visit(struct tdb_context *tdb, TDB_DATA key, TDB_DATA record, void *private);
int read_all(struct file *file, file_visit *visit, void *private);

/* Copies a record into the buffer. Where TDB takes no locks, reads until two reads agree. */
enum read_result { READ_OK, READ_ABSENT /* or damaged */, READ_NO_MEMORY };
enum read_result read_record(
    struct tdb_context *tdb, TDB_DATA key, struct store_buffer *buffer, size_t *size);

/*
 * The same without a lock for the record, for a caller that holds the lock of any chain. Other
 * chains change meanwhile by overwriting and inserting only, and TDB links a record into its
 * chain when it is complete: this finds it or not. (With no lock at all, TDB might undo another
 * process's TDB transaction.)
 */
enum read_result read_unlocked(
    struct tdb_context *tdb, TDB_DATA key, struct store_buffer *buffer, size_t *size);

/* store_txn_get. */
const char *read_get(struct store_txn *txn, const char *key, size_t key_length, size_t *size);

/*
 * The operations. The guard runs them with the file open; data points at their arguments. Each
 * ends early where file->replaced is set.
 */
typedef enum store_result file_operation(struct file *file, void *data, struct error *error);

struct update {
	struct store_item *item;
	size_t items;
	store_change *change;
	void *data;
};
file_operation update_run; /* data: struct update */
file_operation update_fits; /* data: struct update, without change; see store_fits */
bool update_has_room(struct store_txn *txn, size_t size); /* see store.h, store_txn_has_room */

struct walk {
	store_visit *visit;
	void *data;
};
file_operation read_walk; /* data: struct walk */

struct compaction {
	const struct store_import *import; /* NULL: none */
	struct store_maintenance *maintenance;
};
file_operation compact_run; /* data: struct compaction */

/* Whether the last insert left the file doubled or full, so that compaction pays now. */
bool compact_is_due(const struct file *file);

/*
 * scan.c: calls visit for every record that can be recognised anywhere in the first size bytes of
 * lock_fd, in the order of the keys, with copies that visit may change. A key may come several
 * times: with copies from before a record was moved, or from a TDB transaction. What the disk can't
 * read counts as zeros. Needs room for a copy of the file: path is its name, which is free again
 * when the scan begins.
 *
 * 0; -1: the copy can't be made or written, or memory is short. visit may have been called then.
 */
typedef void scan_visit(TDB_DATA key, TDB_DATA data, void *private);
int scan_records(struct file *file, uint64_t size, const char *path, scan_visit *visit,
    void *private, struct error *error);

/*
 * rescue.c: whether a file that was written before the system was started is sound.
 * STORE_DAMAGED if not; under an alarm.
 */
enum store_result rescue_check(struct file *file, struct error *error);

/*
 * Saves every record that can be read of the damaged file into a new one that takes its name,
 * keeps the damaged one aside, and leaves a notice that begins with why. STORE_OK also if the
 * name stands for another file: some other process was faster. The file is closed then.
 *
 * Before, and only once until something succeeds, it looks whether the file is sound: somebody may
 * have copied it over the open one, or be about it.
 */
enum store_result rescue_run(struct file *file, const char *why, struct error *error);

#endif
