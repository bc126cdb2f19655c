/* What any file can do to the parser of the configuration: be refused with one line, or give a configuration that keeps its invariants. */
#include <assert.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/config/option_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same text says the same, every time. */
static void
check_same(const struct config *a, const struct config *b)
{
    size_t count;
    const struct option *rows = option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        bool text_elsewhere = rows[i].kind == OPTION_SPECIAL && rows[i].size == sizeof(char *); /* pointers differ */
        assert(rows[i].size == 0 || text_elsewhere || option_same(&rows[i], a, b));
    }
    assert(a->listener_count == b->listener_count && a->warning_count == b->warning_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[300];
    struct config *config = config_parse_text((const char *)data, size, "fuzz.conf", false, error, sizeof error);
    if (config == NULL) {
        assert(error[0] != '\0' && strchr(error, '\n') == NULL);
        return 0;
    }
    config_check(config);

    struct config *again = config_parse_text((const char *)data, size, "fuzz.conf", false, error, sizeof error);
    assert(again != NULL);
    check_same(config, again);
    config_free(&again);
    config_free(&config);
    return 0;
}
