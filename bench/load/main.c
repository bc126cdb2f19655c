/* main: tidewire-bench, the load generator. Options in, phases through, figures out. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/load/options.h"
#include "bench/load/conductor.h"
#include "bench/load/run.h"

static void
on_signal(int number)
{
    (void)number;
    conductor_interrupt();
}

static void
set_signals(void)
{
    /* The first Ctrl-C ends the run with its table, the second one ends the process. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int
main(int argc, char **argv)
{
    struct options options;
    char error[256];

    switch (options_parse(argc, argv, &options, error, sizeof error)) {
    case OPTIONS_RUN: break;
    case OPTIONS_HELP: fputs(options_help, stdout); return 0;
    case OPTIONS_WRONG: fprintf(stderr, "tidewire-bench: %s\n", error); return 2;
    }
    set_signals();
    /* A fixed rate asks for wake-ups on time; the default slack of 50 us would be part of every latency. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    return run_all(&options);
}
