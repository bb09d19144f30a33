/* What certificates and requests have in common, read by OpenSSL: see x509_read.h. */
#include "common/x509_read.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/digest.h"

X509_FREEP(BIO, BIO_free)
X509_FREEP(GENERAL_NAMES, GENERAL_NAMES_free)

int x509_bad(const struct x509_context *c, const char *why)
{
	ERR_clear_error();
	return err_set(c->err, -EBADMSG, "%s: %s", c->what, why);
}

int x509_no_memory(const struct x509_context *c)
{
	ERR_clear_error();
	return err_set(c->err, -ENOMEM, "%s: out of memory", c->what);
}

int x509_check_size(const struct x509_context *c, size_t n)
{
	if (n <= X509_INPUT_MAX)
		return 0;
	return err_set(
	    c->err, -EFBIG, "%s: more than %u bytes", c->what, X509_INPUT_MAX);
}

/* Lists */

static int strings_add(struct x509_strings *l, const void *p, size_t n)
{
	char **v = reallocarray(l->v, l->n + 1, sizeof(*v));
	char *s;

	if (!v)
		return -ENOMEM;
	l->v = v;
	s = malloc(n + 1);
	if (!s)
		return -ENOMEM;
	if (n)
		memcpy(s, p, n);
	s[n] = '\0';
	l->v[l->n++] = s;
	return 0;
}

static void strings_deinit(struct x509_strings *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

/* Names */

void x509_name_deinit(struct x509_name *n)
{
	strings_deinit(&n->cn);
	strings_deinit(&n->o);
	free(n->text);
}

static int name_text(char **ret, const X509_NAME *name)
{
	_cleanup_(BIO_free_p) BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (!b ||
	    X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
		return -ENOMEM;
	n = BIO_get_mem_data(b, &p);
	*ret = malloc((size_t)n + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, p, (size_t)n);
	(*ret)[n] = '\0';
	return 0;
}

static int name_add(
    struct x509_strings *l, const ASN1_STRING *value, const struct x509_context *c)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, value), r;

	if (n < 0)
		return x509_bad(c, "a name is not valid in its encoding");
	if (memchr(utf8, '\0', (size_t)n))
		r = x509_bad(c, "a name holds a NUL byte");
	else
		r = strings_add(l, utf8, (size_t)n) < 0 ? x509_no_memory(c) : 0;
	OPENSSL_free(utf8);
	return r;
}

/* The two encodings that every reader has in common. */
static bool is_plain_text(const ASN1_STRING *s)
{
	int type = ASN1_STRING_type(s);

	return type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING;
}

int x509_name_read(
    struct x509_name *ret, const X509_NAME *name, const struct x509_context *c)
{
	int r = 0, last_set = -1;

	for (int i = 0; i < X509_NAME_entry_count(name) && r == 0; i++) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
		int set = X509_NAME_ENTRY_set(e);

		if (nid == NID_commonName)
			r = name_add(&ret->cn, X509_NAME_ENTRY_get_data(e), c);
		else if (nid == NID_organizationName)
			r = name_add(&ret->o, X509_NAME_ENTRY_get_data(e), c);
		else
			ret->n_other++;
		ret->odd = ret->odd || set == last_set ||
		    !is_plain_text(X509_NAME_ENTRY_get_data(e));
		last_set = set;
	}
	if (r == 0 && name_text(&ret->text, name) < 0)
		r = x509_bad(c, "a name is not valid in its encoding");
	return r;
}

void x509_alt_deinit(struct x509_alt *a)
{
	strings_deinit(&a->dns);
	strings_deinit(&a->email);
	strings_deinit(&a->uri);
	free(a->ip);
}

static int alt_add_text(
    struct x509_strings *l, const ASN1_STRING *s, const struct x509_context *c)
{
	const unsigned char *p = ASN1_STRING_get0_data(s);
	int n = ASN1_STRING_length(s);

	for (int i = 0; i < n; i++) {
		if (p[i] == 0 || p[i] >= 0x80)
			return x509_bad(c,
			    "an alternative name holds a byte that is no ASCII "
			    "character");
	}
	return strings_add(l, p, (size_t)n) < 0 ? x509_no_memory(c) : 0;
}

static int alt_add_ip(
    struct x509_alt *a, const ASN1_STRING *s, const struct x509_context *c)
{
	const unsigned char *p = ASN1_STRING_get0_data(s);
	union net_sockaddr sa = { 0 };
	struct net_ip *ip;

	switch (ASN1_STRING_length(s)) {
	case 4:
		sa.in.sin_family = AF_INET;
		memcpy(&sa.in.sin_addr, p, 4);
		break;
	case 16:
		sa.in6.sin6_family = AF_INET6;
		memcpy(&sa.in6.sin6_addr, p, 16);
		break;
	default:
		a->n_other++;
		return 0;
	}
	ip = reallocarray(a->ip, a->n_ip + 1, sizeof(*ip));
	if (!ip)
		return x509_no_memory(c);
	a->ip = ip;
	a->ip[a->n_ip] = net_ip_from_sa(&sa.sa, NULL);
	if (sa.sa.sa_family == AF_INET6 && a->ip[a->n_ip].family == 4)
		a->n_ip_mapped++;
	a->n_ip++;
	return 0;
}

static int alt_read(
    struct x509_alt *a, const GENERAL_NAMES *names, const struct x509_context *c)
{
	int r = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && r == 0; i++) {
		int type;
		const void *value =
		    GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS)
			r = alt_add_text(&a->dns, value, c);
		else if (type == GEN_EMAIL)
			r = alt_add_text(&a->email, value, c);
		else if (type == GEN_URI)
			r = alt_add_text(&a->uri, value, c);
		else if (type == GEN_IPADD)
			r = alt_add_ip(a, value, c);
		else
			a->n_other++;
	}
	return r;
}

int x509_alt_read_extension(
    struct x509_alt *a, X509_EXTENSION *ext, const struct x509_context *c)
{
	const ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(ext);
	const unsigned char *p = ASN1_STRING_get0_data(data), *end;
	_cleanup_(GENERAL_NAMES_free_p) GENERAL_NAMES *names = NULL;

	end = p + ASN1_STRING_length(data);
	names = d2i_GENERAL_NAMES(NULL, &p, ASN1_STRING_length(data));
	if (!names || p != end)
		return x509_bad(c, "its alternative names cannot be read");
	return alt_read(a, names, c);
}

/* Keys */

static void key_read_ec(struct x509_key *ret, EVP_PKEY *key)
{
	int explicit = 0;
	size_t n;

	/* Curves by parameters rather than by name are a way to forge (CVE-2020-0601).
	 */
	if (!EVP_PKEY_get_int_param(
		key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit) ||
	    explicit ||
	    !EVP_PKEY_get_group_name(key, ret->curve, sizeof(ret->curve), &n)) {
		ret->curve[0] = '\0';
		return;
	}
	ret->type = X509_KEY_EC;
}

int x509_key_read(struct x509_key *ret, X509_PUBKEY *pub, const struct x509_context *c)
{
	EVP_PKEY *key = X509_PUBKEY_get0(pub);
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(pub, &der);

	if (n < 0)
		return x509_no_memory(c);
	digest_of(DIGEST_SHA256, der, (size_t)n, ret->sha256);
	OPENSSL_free(der);
	ERR_clear_error();
	if (!key)
		return 0;
	ret->bits = (unsigned)EVP_PKEY_get_bits(key);
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		ret->type = X509_KEY_RSA;
		break;
	case EVP_PKEY_ED25519:
		ret->type = X509_KEY_ED25519;
		break;
	case EVP_PKEY_EC:
		key_read_ec(ret, key);
		break;
	default:
		break;
	}
	return 0;
}
