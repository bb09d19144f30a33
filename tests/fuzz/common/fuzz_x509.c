/* Certificates and certificate requests from text of any kind. */
#include <stdlib.h>
#include <string.h>

#include "common/x509_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_alt(const struct x509_alt *a)
{
	must(a->n_ip_mapped <= a->n_ip);
	for (size_t i = 0; i < a->n_ip; i++)
		must(a->ip[i].family == 4 || a->ip[i].family == 6);
	for (size_t i = 0; i < a->dns.n; i++)
		must(x509_strings_has(&a->dns, a->dns.v[i]));
}

static void check_certs(const char *pem, size_t n)
{
	_cleanup_(x509_certs_freep) struct x509_certs *c = NULL;
	struct err err = ERR_INIT;

	if (x509_certs_parse(&c, pem, n, &err) < 0) {
		must(!c && err.text[0]);
		return;
	}
	must(c->n > 0);
	for (size_t i = 0; i < c->n; i++) {
		must(c->v[i].subject.text && c->v[i].issuer.text && c->v[i].serial);
		check_alt(&c->v[i].alt);
	}
}

/* What a request says must not depend on what is put behind it. */
static void check_request(const char *pem, size_t n)
{
	_cleanup_(x509_request_freep) struct x509_request *r = NULL;
	_cleanup_(x509_request_freep) struct x509_request *again = NULL;
	_cleanup_(str_deinit) struct str longer = STR_INIT;
	struct err err = ERR_INIT;

	if (x509_request_parse(&r, pem, n, &err) < 0) {
		must(!r && err.text[0]);
		return;
	}
	check_alt(&r->alt);
	must(r->n_alt || (!r->alt.n_ip && !r->alt.dns.n && !r->alt.n_other));
	must(!x509_request_is_signed(r) || r->key.bits > 0);
	str_add(&longer, pem, n);
	str_addz(&longer, "\nx");
	must(longer.len > X509_INPUT_MAX ||
	    x509_request_parse(&again, longer.s, longer.len, &err) == 0);
	must(!again ||
	    (again->trailing_text && again->n_alt == r->n_alt &&
		str_eq(again->subject.text, r->subject.text) &&
		memcmp(&again->key, &r->key, sizeof(r->key)) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* A copy of exactly this size: reading beyond its end is found. */
	_cleanup_(freep) char *pem = malloc(n ? n : 1);

	if (!pem)
		return 0;
	memcpy(pem, data, n);
	check_certs(pem, n);
	check_request(pem, n);
	return 0;
}
