/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

#include <errno.h>
#include <stddef.h>

#include "common/base/assert.h"

struct err_row {
    const char *name, *text;
};

static const struct err_row rows[ERR_ORDINAL_COUNT] = {[ERR_ORDINAL_OK] = {"OK", "success"},
#define X(name, text) [ERR_ORDINAL_##name] = {#name, text},
                                                       ERR_TABLE(X)
#undef X
};

static const struct {
    int errno_value;
    enum err err;
} from_errno[] = {
    {ENOMEM, ERR_NOMEM},
    {EINVAL, ERR_INVALID},
    {ENOENT, ERR_NOT_FOUND},
    {EEXIST, ERR_EXISTS},
    {ENOSPC, ERR_NO_SPACE},
    {EDQUOT, ERR_NO_SPACE},
    {EFBIG, ERR_TOO_LARGE},
    {EMSGSIZE, ERR_TOO_LARGE},
    {ENAMETOOLONG, ERR_TOO_LARGE},
    {EACCES, ERR_PERMISSION},
    {EPERM, ERR_PERMISSION},
    {EROFS, ERR_PERMISSION},
    {EMFILE, ERR_FD_LIMIT},
    {ENFILE, ERR_FD_LIMIT},
    {EBUSY, ERR_BUSY},
    {ETXTBSY, ERR_BUSY},
    {EPIPE, ERR_CLOSED},
    {ECONNRESET, ERR_CLOSED},
    {ECONNABORTED, ERR_CLOSED},
    {ENOTCONN, ERR_CLOSED},
    {ESHUTDOWN, ERR_CLOSED},
    {EBADF, ERR_CLOSED},
    {ECONNREFUSED, ERR_REFUSED},
    {EHOSTUNREACH, ERR_UNREACHABLE},
    {ENETUNREACH, ERR_UNREACHABLE},
    {ENETDOWN, ERR_UNREACHABLE},
    {EADDRNOTAVAIL, ERR_UNREACHABLE},
    {ETIMEDOUT, ERR_TIMED_OUT},
    {ECANCELED, ERR_CANCELED},
    {EADDRINUSE, ERR_ADDRESS_IN_USE},
    {EOPNOTSUPP, ERR_UNSUPPORTED},
    {ENOSYS, ERR_UNSUPPORTED},
    {EAFNOSUPPORT, ERR_UNSUPPORTED},
    {EPROTONOSUPPORT, ERR_UNSUPPORTED},
    {EAGAIN, ERR_AGAIN},
    {EINTR, ERR_AGAIN},
    {EINPROGRESS, ERR_AGAIN},
    {ERANGE, ERR_OUT_OF_RANGE},
};

static const struct err_row *row_of(enum err err)
{
    int ordinal = -(int)err;
    return ordinal >= 0 && ordinal < ERR_ORDINAL_COUNT ? &rows[ordinal] : NULL;
}

const char *err_name(enum err err)
{
    const struct err_row *row = row_of(err);
    return row ? row->name : "UNKNOWN";
}

const char *err_text(enum err err)
{
    const struct err_row *row = row_of(err);
    return row ? row->text : "unknown error";
}

enum err err_from_errno(int errno_value)
{
    if (errno_value == 0)
        return OK;
    for (size_t i = 0; i < ARRAY_LEN(from_errno); i++)
        if (from_errno[i].errno_value == errno_value)
            return from_errno[i].err;
    return ERR_IO;
}
