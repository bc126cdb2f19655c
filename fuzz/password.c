/* What any file can do to the reader of password files: be refused with one line, or give users who are found and passwords that can be verified. */
#include <assert.h>
#include <string.h>

#include "engine/identity/password_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[300] = "";
    struct password_file *file = password_file_parse((const char *)data, size, "fuzz", error, sizeof error);
    if (file == NULL) {
        assert(error[0] != '\0' && strchr(error, '\n') == NULL);
        return 0;
    }
    password_file_check(file);
    password_file_free(&file);
    return 0;
}
