/* The log: where lines go, how they look, and that a peer cannot flood it. */
#include "engine/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/tidewire-log-XXXXXX";
static char path[64], text[1 << 20];

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/log", folder);
    return 0;
}

static int
remove_folder(void **state)
{
    (void)state;
    log_set_topic_sink(NULL);
    log_close();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Opens the log on `path` with these lines of configuration beside. */
static void
open_log(const char *options)
{
    char lines[1024], error[256];
    snprintf(lines, sizeof lines, "log_dest file %s\n%s", path, options);
    struct config *config = config_parse_text(lines, strlen(lines), "log.conf", false, error, sizeof error);
    assert_non_null(config);
    assert_int_equal(log_open(config), 0);
    config_free(&config); /* the log keeps nothing of it */
}

static const char *
read_text(const char *from)
{
    int file = open(from, O_RDONLY);
    assert_true(file >= 0);
    ssize_t size = read(file, text, sizeof text - 1);
    assert_true(size >= 0);
    close(file);
    text[size] = '\0';
    return text;
}

static unsigned
count_lines(const char *part)
{
    unsigned count = 0;
    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        count += memmem(line, (size_t)(end - line), part, strlen(part)) != NULL;
        line = end + 1;
    }
    return count;
}

static void
line_starts_with_seconds_as_mosquittos(void **state)
{
    (void)state;
    open_log("");
    time_t before = time(NULL);
    log_line(CONFIG_LOG_NOTICE, "hello %d", 5);
    char *rest;
    long long seconds = strtoll(read_text(path), &rest, 10);
    assert_in_range(seconds, before, time(NULL));
    assert_string_equal(rest, ": hello 5\n");
}

static void
timestamp_has_the_format_asked_for(void **state)
{
    (void)state;
    open_log("log_timestamp_format [%Y!]\n");
    log_line(CONFIG_LOG_NOTICE, "hello");
    char expected[64];
    time_t now = time(NULL);
    struct tm local;
    strftime(expected, sizeof expected, "[%Y!]: hello\n", localtime_r(&now, &local));
    assert_string_equal(read_text(path), expected);

    open_log("log_timestamp false\n");
    log_line(CONFIG_LOG_NOTICE, "bare");
    strcat(expected, "bare\n");
    assert_string_equal(read_text(path), expected);
}

static void
only_wanted_types_are_written(void **state)
{
    (void)state;
    open_log("log_timestamp false\nlog_type error\nlog_type subscribe\n");
    assert_true(log_wants(CONFIG_LOG_ERROR));
    assert_false(log_wants(CONFIG_LOG_DEBUG));
    log_line(CONFIG_LOG_ERROR, "e");
    log_line(CONFIG_LOG_DEBUG, "d");
    log_line(CONFIG_LOG_NOTICE, "n");
    log_peer(CONFIG_LOG_INFORMATION, 1, "i");
    log_line(CONFIG_LOG_SUBSCRIBE, "s");
    assert_string_equal(read_text(path), "e\ns\n");
}

static void
log_dest_none_writes_nowhere(void **state)
{
    (void)state;
    open_log("log_dest none\nlog_type all\n");
    assert_false(log_wants(CONFIG_LOG_ERROR));
    log_line(CONFIG_LOG_ERROR, "lost");
}

static void
warnings_of_the_configuration_are_written(void **state)
{
    (void)state;
    open_log("log_timestamp false\nset_tcp_nodelay true\n");
    assert_string_equal(read_text(path), "Warning: log.conf:3: option 'set_tcp_nodelay' is ignored: TCP_NODELAY is always set\n");
}

/* Runs `call` with stderr in a file and returns what was written there. */
static const char *
with_stderr(void (*call)(void))
{
    char errors[80];
    snprintf(errors, sizeof errors, "%s/stderr", folder);
    int kept = dup(STDERR_FILENO), file = open(errors, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, STDERR_FILENO);
    call();
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    return read_text(errors);
}

static void
open_impossible_file(void)
{
    static const char lines[] = "log_dest file /nonexistent/log\nlog_timestamp false\n";
    char error[256];
    struct config *config = config_parse_text(lines, strlen(lines), "log.conf", false, error, sizeof error);
    assert_int_equal(log_open(config), -ENOENT);
    config_free(&config);
    log_line(CONFIG_LOG_NOTICE, "still here");
}

static void
stderr_takes_over_when_the_file_cannot_be_opened(void **state)
{
    (void)state;
    assert_string_equal(with_stderr(open_impossible_file),
                        "Error: cannot open the log file '/nonexistent/log': No such file or directory\nstill here\n");
}

static void
log_before_open(void)
{
    log_line(CONFIG_LOG_ERROR, "early");
    log_line(CONFIG_LOG_DEBUG, "debug");
}

static void
before_open_lines_go_to_stderr(void **state)
{
    (void)state;
    with_stderr(log_before_open);
    assert_int_equal(count_lines(": early"), 1);
    assert_int_equal(count_lines("debug"), 0);
}

static void
reopen_makes_a_new_file_after_a_move(void **state)
{
    (void)state;
    open_log("log_timestamp false\n");
    log_line(CONFIG_LOG_NOTICE, "one");
    char moved[80];
    snprintf(moved, sizeof moved, "%s.1", path);
    assert_int_equal(rename(path, moved), 0);
    log_line(CONFIG_LOG_NOTICE, "two");
    log_reopen();
    log_line(CONFIG_LOG_NOTICE, "three");
    assert_string_equal(read_text(moved), "one\ntwo\n");
    assert_string_equal(read_text(path), "three\n");
}

static void
control_characters_of_peers_are_escaped(void **state)
{
    (void)state;
    open_log("log_timestamp false\n");
    log_peer(CONFIG_LOG_NOTICE, 0, "client %s", "a\nb\x1b[31m\x7f \xc2\x85 \xc3\xa4");
    assert_string_equal(read_text(path), "client a\\x0ab\\x1b[31m\\x7f \\xc2\\x85 \xc3\xa4\n");
}

static void
long_lines_are_cut_and_end(void **state)
{
    (void)state;
    open_log("");
    char *longest = malloc(70001);
    memset(longest, '\n', 70000);
    longest[70000] = '\0';
    log_peer(CONFIG_LOG_NOTICE, 0, "%s", longest);
    memset(longest, 'x', 70000);
    log_peer(CONFIG_LOG_NOTICE, 0, "%s", longest);
    log_line(CONFIG_LOG_NOTICE, "%s", longest);
    read_text(path);
    assert_int_equal(count_lines(""), 3);
    assert_int_equal(count_lines("xxxx"), 2);
    assert_true(strlen(text) < 3 * 2048 + 3);
    free(longest);
}

static void
peer_lines_are_bounded_and_the_rest_is_counted(void **state)
{
    (void)state;
    open_log("log_timestamp false\n");
    for (unsigned i = 0; i < 1000; i++) {
        log_peer(CONFIG_LOG_NOTICE, 3, "knock");
        log_peer(CONFIG_LOG_NOTICE, 4, "bell");
    }
    log_close();
    read_text(path);
    unsigned knocks = count_lines("knock"), bells = count_lines("bell");
    assert_in_range(knocks, LOG_PEER_LINES_PER_S, 2 * LOG_PEER_LINES_PER_S); /* the second may turn meanwhile */
    assert_in_range(bells, LOG_PEER_LINES_PER_S, 2 * LOG_PEER_LINES_PER_S);
    assert_true(count_lines("held back") >= 2);
}

static unsigned asked;

static const char *
costly_text(void)
{
    asked++;
    return "knock";
}

static void
arguments_of_a_line_that_is_held_back_are_not_made(void **state)
{
    (void)state;
    open_log("log_timestamp false\n");
    for (unsigned i = 0; i < 1000; i++) {
        log_peer(CONFIG_LOG_NOTICE, 6, "%s", costly_text());
        log_peer(CONFIG_LOG_DEBUG, 7, "%s", costly_text());
    }
    log_close();
    read_text(path);
    assert_int_equal(asked, count_lines("knock"));
}

static void
next_second_tells_what_the_last_one_held_back(void **state)
{
    (void)state;
    open_log("log_timestamp false\n");
    for (unsigned i = 0; i < 500; i++) {
        log_peer(CONFIG_LOG_NOTICE, 5, "knock");
    }
    sleep(1);
    usleep(50000); /* the coarse clock's step */
    log_peer(CONFIG_LOG_NOTICE, 5, "again");
    const char *told = strstr(read_text(path), "messages of the following kind were held back\n");
    assert_non_null(told);
    assert_string_equal(strrchr(text, 'b'), "back\nagain\n");
}

static unsigned sunk;
static char last_sunk[128];

static void
sink(uint32_t type, const char *line)
{
    sunk++;
    snprintf(last_sunk, sizeof last_sunk, "%u %s", type, line);
    log_line(CONFIG_LOG_ERROR, "from inside");
}

static void
topic_sink_gets_all_but_debug_and_its_own(void **state)
{
    (void)state;
    open_log("log_timestamp false\nlog_dest topic\nlog_type all\n");
    log_line(CONFIG_LOG_ERROR, "nowhere yet");
    log_set_topic_sink(sink);
    log_line(CONFIG_LOG_WARNING, "hear this");
    assert_int_equal(sunk, 1);
    assert_string_equal(last_sunk, "2 hear this");
    log_line(CONFIG_LOG_DEBUG, "not this");
    assert_int_equal(sunk, 1);
    assert_string_equal(read_text(path), "nowhere yet\nfrom inside\nhear this\nnot this\n");
}

#define WRITERS 4
#define WRITER_LINES 500

static void *
write_many(void *argument)
{
    for (unsigned i = 0; i < WRITER_LINES; i++) {
        log_line(CONFIG_LOG_NOTICE, "[%s:%u]", (const char *)argument, i);
        log_peer(CONFIG_LOG_NOTICE, 9, "peer");
    }
    return NULL;
}

static void
lines_of_threads_stay_whole_while_the_log_is_opened_again(void **state)
{
    (void)state;
    static char names[WRITERS][201];
    pthread_t threads[WRITERS];
    open_log("log_timestamp_format %H:%M:%S\n");
    for (unsigned i = 0; i < WRITERS; i++) {
        memset(names[i], 'a' + (int)i, 200);
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        open_log(i % 2 ? "log_timestamp_format %H:%M:%S\n" : "log_timestamp false\n");
        log_reopen();
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    read_text(path);
    assert_int_equal(count_lines("["), WRITERS * WRITER_LINES);
    assert_int_equal(count_lines("]"), WRITERS * WRITER_LINES);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(count_lines(names[i]), WRITER_LINES);
    }
}

int
main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(before_open_lines_go_to_stderr),
        IN_FOLDER(line_starts_with_seconds_as_mosquittos),
        IN_FOLDER(timestamp_has_the_format_asked_for),
        IN_FOLDER(only_wanted_types_are_written),
        IN_FOLDER(log_dest_none_writes_nowhere),
        IN_FOLDER(warnings_of_the_configuration_are_written),
        IN_FOLDER(stderr_takes_over_when_the_file_cannot_be_opened),
        IN_FOLDER(reopen_makes_a_new_file_after_a_move),
        IN_FOLDER(control_characters_of_peers_are_escaped),
        IN_FOLDER(long_lines_are_cut_and_end),
        IN_FOLDER(peer_lines_are_bounded_and_the_rest_is_counted),
        IN_FOLDER(arguments_of_a_line_that_is_held_back_are_not_made),
        IN_FOLDER(next_second_tells_what_the_last_one_held_back),
        IN_FOLDER(topic_sink_gets_all_but_debug_and_its_own),
        IN_FOLDER(lines_of_threads_stay_whole_while_the_log_is_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
