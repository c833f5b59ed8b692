/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/text.h"

#include <stdio.h>
#include <string.h>

/* The forms of a first byte: how many bytes follow and the least code that needs so many. */
static const struct utf8_form {
    uint8_t mask, bits;
    unsigned len;
    uint32_t least;
} forms[] = {
    {0x80, 0x00, 1, 0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

static uint32_t utf8_decode(const struct utf8_form *form, const uint8_t *p)
{
    uint32_t code = p[0] & (uint8_t)~form->mask;
    for (unsigned i = 1; i < form->len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return UINT32_MAX;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code;
}

unsigned utf8_next(const uint8_t *p, size_t len, uint32_t *ret_code)
{
    for (const struct utf8_form *form = forms; form < forms + 4; form++) {
        if ((p[0] & form->mask) != form->bits)
            continue;
        if (form->len > len)
            return 0;
        uint32_t code = utf8_decode(form, p);
        if (code < form->least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return 0;
        if (ret_code)
            *ret_code = code;
        return form->len;
    }
    return 0;
}

void text_add(struct text *text, const void *p, size_t len)
{
    if (len >= text->size - text->len) {
        text->cut = true;
        return;
    }
    memcpy(text->p + text->len, p, len);
    text->len += len;
}

void text_add_z(struct text *text, const char *z)
{
    text_add(text, z, strlen(z));
}

/* The escape of one character, or 0 when it stands for itself. C1 controls are escaped too: some terminals
 * obey them. */
static int escape(uint32_t code, char out[8])
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt";
    for (const char *s = shorts; *s; s += 2)
        if (code == (unsigned char)s[0])
            return snprintf(out, 8, "\\%c", s[1]);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
        return snprintf(out, 8, "\\u%04x", (unsigned)code);
    return 0;
}

void text_add_escaped(struct text *text, const char *p, size_t len, size_t out_max)
{
    const uint8_t *at = (const uint8_t *)p, *end = at + len;
    size_t limit = text->len + out_max;
    while (at < end) {
        char out[8];
        uint32_t code = 0;
        unsigned used = utf8_next(at, (size_t)(end - at), &code);
        int escaped = used > 0 ? escape(code, out) : 0;
        if (text->len + 8 > limit) {
            text_add_z(text, "...");
            return;
        }
        if (used == 0)
            text_add_z(text, "\xef\xbf\xbd");
        else if (escaped > 0)
            text_add(text, out, (size_t)escaped);
        else
            text_add(text, at, used);
        at += used > 0 ? used : 1;
    }
}
