#include "bench/micro/micro.hh"

#include <algorithm>
#include <string>

static bool smoke;

std::size_t
micro_size(std::size_t real, std::size_t small)
{
    return smoke ? small : real;
}

/* One line per benchmark: nanoseconds per item, median and spread over the repetitions. */
class table : public benchmark::BenchmarkReporter
{
    std::size_t width = 0;

  public:
    bool
    ReportContext(const Context &context) override
    {
        width = context.name_field_width;
        std::printf("%-*s %12s %10s %10s\n", static_cast<int>(width), "ns per item", "median", "min", "max");
        return true;
    }

    void
    ReportRuns(const std::vector<Run> &runs) override
    {
        std::vector<double> times;
        for (const Run &run : runs) {
            if (run.error_occurred) {
                std::printf("%-*s %s\n", static_cast<int>(width), run.benchmark_name().c_str(), run.error_message.c_str());
                failed = true;
                return;
            }
            auto rate = run.counters.find("items_per_second");
            if (run.run_type == Run::RT_Iteration && rate != run.counters.end()) {
                times.push_back(1e9 / rate->second.value);
            }
        }
        if (times.empty()) {
            return;
        }
        std::sort(times.begin(), times.end());
        std::string name = runs[0].run_name.function_name + (runs[0].run_name.args.empty() ? "" : "/" + runs[0].run_name.args);
        std::printf("%-*s %12.1f %10.1f %10.1f\n", static_cast<int>(width), name.c_str(), times[times.size() / 2], times.front(), times.back());
        std::fflush(stdout);
    }

    bool failed = false;
};

/* The defaults come first, so that what the user says counts. */
static std::vector<std::string>
with_defaults(int argc, char **argv, bool *own_format)
{
    std::vector<std::string> given(argv + 1, argv + argc);
    smoke = std::find(given.begin(), given.end(), "--smoke") != given.end();
    std::vector<std::string> all = {argv[0], smoke ? "--benchmark_repetitions=1" : "--benchmark_repetitions=5",
                                    smoke ? "--benchmark_min_time=0.001" : "--benchmark_min_time=0.05"};
    *own_format = false;
    for (const std::string &argument : given) {
        *own_format = *own_format || argument.rfind("--benchmark_format", 0) == 0;
        if (argument != "--smoke") {
            all.push_back(argument);
        }
    }
    return all;
}

int
main(int argc, char **argv)
{
    bool own_format;
    std::vector<std::string> arguments = with_defaults(argc, argv, &own_format);
    std::vector<char *> pointers;
    for (std::string &argument : arguments) {
        pointers.push_back(&argument[0]);
    }
    pointers.push_back(nullptr);
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, pointers.data());
    if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) {
        return 2;
    }
    table report;
    std::size_t run = own_format ? benchmark::RunSpecifiedBenchmarks() : benchmark::RunSpecifiedBenchmarks(&report);
    benchmark::Shutdown();
    /* None: a filter that another program's benchmarks match, which is fine. */
    (void)run;
    return report.failed ? 1 : 0;
}
