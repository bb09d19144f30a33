/* Files of authorities: see cafile.h. */
#include "regd/cafile.h"

#include <string.h>

#include "common/fd.h"
#include "common/str.h"
#include "common/x509.h"

enum { CAFILE_MAX = 4 * 1024 * 1024 };

int cafile_check(const char *setting, const char *path, struct err *err)
{
	_cleanup_(x509_certs_freep) struct x509_certs *certs = NULL;
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	struct err why = ERR_INIT;
	int r = file_read(path, CAFILE_MAX, &pem);

	if (r < 0)
		return err_set(
		    err, r, "%s: cannot read ca %s: %s", setting, path, strerror(-r));
	r = x509_certs_parse(&certs, str_get(&pem), pem.len, &why);
	if (r < 0)
		return err_set(err, r, "%s: ca %s holds no certificates: %s", setting,
		    path, why.text[0] ? why.text : strerror(-r));
	return 0;
}
