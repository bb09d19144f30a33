/* The target of a request: see target.h. */
#include "okdctl/target.h"

#include <string.h>

/* RFC 3986, section 2.3. */
static void encode(struct str *out, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			str_addc(out, *s);
		else
			str_addf(out, "%%%02X", (unsigned char)*s);
	}
}

void target_add(struct str *target, const char *key, const char *value)
{
	if (!value)
		return;
	str_addf(target, "%c%s=", strchr(str_get(target), '?') ? '&' : '?', key);
	encode(target, value);
}

void target_segment(struct str *target, const char *segment)
{
	str_addc(target, '/');
	encode(target, segment);
}
