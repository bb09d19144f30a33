/* htpasswd files and the Authorization header. */
#include <assert.h>
#include <string.h>

#include "regd/basic.h"
#include "regd/htpasswd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char header[2048], buf[BASIC_MAX], *password;
	struct err e = ERR_INIT;
	struct htpasswd *h;
	size_t n;

	if (htpasswd_parse(&h, "fuzz", (const char *)data, size, &e) == 0)
		htpasswd_free(h);
	else
		assert(e.text[0]);
	if (size >= sizeof(header) || memchr(data, 0, size))
		return 0;
	memcpy(header, data, size);
	header[size] = '\0';
	password = basic_decode(header, buf, &n);
	if (password)
		assert(strlen(buf) + 1 + strlen(password) == n);
	return 0;
}
