/*
 * http: the parts that an HTTP/1.1 header is made of: lines, fields, lists and parameters. RFC 9110 5, RFC 9112 3 and 5.
 *
 * Each call cuts something off borrowed bytes, or says that it is not there in a form that everybody reads alike. What a header means is for the caller.
 */
#ifndef TIDEWIRE_CODEC_HTTP_H
#define TIDEWIRE_CODEC_HTTP_H

#include "codec/bytes.h"

struct http_field {
    struct bytes name, value; /* the value without the spaces around it */
};

/* The next line of a header, without its CR LF. False at the end. */
bool http_next_line(struct bytes *header, struct bytes *line);

/* Three words with one space between them; the middle one has no control characters and no spaces. */
bool http_split_request_line(struct bytes line, struct bytes *method, struct bytes *target, struct bytes *version);

/* `name: value`, the name a token that touches its colon; no control characters but tabs. A continued line has no name. */
bool http_split_field(struct bytes line, struct http_field *field);

/* The next item of a list with commas (RFC 9110 5.6.1), empty ones left out. False at the end. http_next_element: commas in quotes are no commas. */
bool http_next_item(struct bytes *list, struct bytes *item);
bool http_next_element(struct bytes *list, struct bytes *element);

/* Whether every quote is closed, begins a value and ends it: else a list that others have appended to cannot be told from what was there (RFC 9110 5.6.4, 5.6.6). */
bool http_quotes_are_sound(struct bytes list);

/* Value of a parameter in `a=b;c="d"`, without quotes; escapes in quotes stay as they are. Empty: not there. */
struct bytes http_parameter(struct bytes element, const char *name);

/* Equal; http_same: whatever the case of letters is. `text` of http_same is in small letters. */
bool http_is(struct bytes b, const char *text);
bool http_same(struct bytes b, const char *text);

/* The token is in the list, whatever the case of its letters is. */
bool http_has_token(struct bytes list, const char *token);

#endif
