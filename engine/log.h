/*
 * log: lines for the operator, to stderr, stdout, a file or syslog.
 *
 * Each line is written whole with one write, so lines of several threads do not mix. What a peer can cause is rate-limited: log_peer() lets a bounded number
 * of lines a second through per reason and then says how many it held back.
 *
 * Threads  any. log_open/log_reopen: the main thread.
 */
#ifndef TIDEWIRE_ENGINE_LOG_H
#define TIDEWIRE_ENGINE_LOG_H

#include "engine/config/config.h"

/*
 * Sets destinations and types; callable again after a reload. 0 or -errno (the log file cannot be opened; then stderr is used). Also writes the warnings
 * that reading the configuration left. Before it: stderr, and the types that are the default.
 */
int log_open(const struct config *config);
/* Opens the log file anew (after it was moved away). */
void log_reopen(void);
/* Back to what it was before log_open. No other thread may log any more. */
void log_close(void);

/*
 * Where lines for `log_dest topic` go: called on the thread that logs, with the whole line (its time too) without a line end, borrowed for the call. Lines of type debug
 * are never sent there, nor lines that the sink itself causes. NULL: nowhere.
 */
void log_set_topic_sink(void (*sink)(uint32_t type, const char *text));

/* True if lines of one of the types (enum config_log_type) go anywhere: lets callers skip the work of making one. */
bool log_wants(uint32_t type);

__attribute__((format(printf, 2, 3))) void log_line(uint32_t type, const char *format, ...);

/*
 * A line that a peer caused; `reason` groups them (a small number, below LOG_REASONS_MAX) and each group gets LOG_PEER_LINES_PER_S. What was held back is told with the
 * group's next line, and by log_close. Control characters in the text are escaped: client identifiers come from peers.
 */
#define LOG_REASONS_MAX 64
#define LOG_PEER_LINES_PER_S 10
/* log_peer(type, reason, format, ...). A macro, so that the arguments of a line that is held back are never put together: in a storm that is nearly every one. */
#define log_peer(type, reason, ...) (log_admits_peer((type), (reason)) ? log_admitted((type), __VA_ARGS__) : (void)0)

/* The two halves of log_peer(): takes a place in this second for a line, false if none is wanted or left; writes one that has its place. */
bool log_admits_peer(uint32_t type, unsigned reason);
__attribute__((format(printf, 2, 3))) void log_admitted(uint32_t type, const char *format, ...);

#endif
