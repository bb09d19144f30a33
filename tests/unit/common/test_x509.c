/* What certificates and requests say, and which texts are refused or flagged. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/x509_make.h"
#include "common/x509_request.h"

/* O, OU, CN; basicConstraints CA:TRUE, keyUsage, SANs of every kind, a password. */
static const char hostile[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIIBkDCCATYCAQAwPzEVMBMGA1UECgwMc3lzdGVtOm5vZGVzMQ0wCwYDVQQLDAR1\n"
    "bml0MRcwFQYDVQQDDA5zeXN0ZW06bm9kZTp3MDBZMBMGByqGSM49AgEGCCqGSM49\n"
    "AwEHA0IABN9MU4zjdHVJBygkqAsqbq/WGwjiIMyl2TwU6SnqEpk76wo4+XNpZtWG\n"
    "ytmK36h272Dw8/2b3Xg4MQVPOk1h5xiggZQwFQYJKoZIhvcNAQkHMQgMBnNlY3Jl\n"
    "dDB7BgkqhkiG9w0BCQ4xbjBsMAwGA1UdEwQFMAMBAf8wCwYDVR0PBAQDAgIEME8G\n"
    "A1UdEQRIMEaCBncwLmxhYoEFYUBiLmOGDHNwaWZmZTovL3gveYcQAAAAAAAAAAAA\n"
    "AP//CgAAAYcQ/QAAAAAAAAAAAAAAAAAAAYgDKgMEMAoGCCqGSM49BAMCA0gAMEUC\n"
    "ICRU9tuiziwk11bFAbjLH1RM/Wc0qar67h5fBTwjfXtKAiEAyASRwXjHUGko46GR\n"
    "gPal+EKlshTb6a2RSu9JjoTr2OU=\n"
    "-----END CERTIFICATE REQUEST-----\n";

/* O=a, O=b, CN=x, CN=y */
static const char two_names[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIHsMIGSAgEAMDAxCjAIBgNVBAoMAWExCjAIBgNVBAoMAWIxCjAIBgNVBAMMAXgx\n"
    "CjAIBgNVBAMMAXkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATfTFOM43R1SQco\n"
    "JKgLKm6v1hsI4iDMpdk8FOkp6hKZO+sKOPlzaWbVhsrZit+odu9g8PP9m914ODEF\n"
    "TzpNYecYoAAwCgYIKoZIzj0EAwIDSQAwRgIhAMndu11sPK0wRsq3DezkTTy91hat\n"
    "QZ7UP3m0rZN4ePA9AiEA7WSlGv7stkYRcmCPi5gkTcz1+0vsM21jHv41ZbYX6TA=\n"
    "-----END CERTIFICATE REQUEST-----\n";

/* A P-256 key whose curve is given by its parameters. */
static const char explicit_curve[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIIBwzCCAWkCAQAwEzERMA8GA1UEAwwIZXhwbGljaXQwggFLMIIBAwYHKoZIzj0C\n"
    "ATCB9wIBATAsBgcqhkjOPQEBAiEA/////wAAAAEAAAAAAAAAAAAAAAD/////////\n"
    "//////8wWwQg/////wAAAAEAAAAAAAAAAAAAAAD///////////////wEIFrGNdiq\n"
    "OpPns+u9VXaYhrxlHQawzFOw9jvOPD4n0mBLAxUAxJ02CIbnBJNqZnjhE50mt4Gf\n"
    "fpAEQQRrF9Hy4SxCR/i85uVjpEDydwN9gS3rM6D0oTlF2JjClk/jQuL+Gn+bjufr\n"
    "SnwPnhYrzjNXazFezsu2QGg3v1H1AiEA/////wAAAAD//////////7zm+q2nF56E\n"
    "87nKwvxjJVECAQEDQgAEt6WrNDNmrNrUjhF/L3Hl2YMjXXzgiwHSOguJhZLkpyuQ\n"
    "8iYFwipBb7uJbFGI4oz/TxbYYNQo2t6rkMDlF8rDdKAAMAoGCCqGSM49BAMCA0gA\n"
    "MEUCIQC+vgMa2ug7rBbwdfEd7hRRZMNsTbpaHN8xLeyU9xtWOQIgEdro0JQyaFe8\n"
    "xON9ex9bWfIKMStOXnhzwVNgjUO+6XM=\n"
    "-----END CERTIFICATE REQUEST-----\n";

static const char ed25519[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIGMMEACAQAwDTELMAkGA1UEAwwCZWQwKjAFBgMrZXADIQCrx5bJTKm4qk6xn+tU\n"
    "uTe66W7o/B2m5NwOGRsqlzyPu6AAMAUGAytlcANBAHqRjRLa9cMwNzwF3kpYu+Kk\n"
    "Rpl3qCBybbyeNBo/c1j9McMs0iAhwCLFeWFvIb4EwRG3fJ7350lzQNO0bwLIrgc=\n"
    "-----END CERTIFICATE REQUEST-----\n";

/* C=DE, O=Örg, CN=Root; RSA 2048; self-signed CA */
static const char root[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIDNzCCAh+gAwIBAgIUV76gyW3Ir8xDVM0QWZ112N6LscowDQYJKoZIhvcNAQEL\n"
    "BQAwKzELMAkGA1UEBhMCREUxDTALBgNVBAoMBMOWcmcxDTALBgNVBAMMBFJvb3Qw\n"
    "HhcNMjYxMTIzMTExMTI5WhcNMzYxMTIwMTExMTI5WjArMQswCQYDVQQGEwJERTEN\n"
    "MAsGA1UECgwEw5ZyZzENMAsGA1UEAwwEUm9vdDCCASIwDQYJKoZIhvcNAQEBBQAD\n"
    "ggEPADCCAQoCggEBAJ8Bfmpl9oNiTrSHcGVJeZQNEOoAAwCTwAhubLYaNimObnOQ\n"
    "qminixgTyoyHKXfGQrr3ZQmrthzCdIfWcCCpFKohsg9ADQ8MI0hAezOHJ9HTYR+o\n"
    "gyq6pK7Y3ymTkPwSYfFhPY2L/VW0uIUdSneCibqrhtpv65JojYadahOlV0/ChtuH\n"
    "LzU4ELF2IWdMRXGMfFQvDzP8ljJCeAWRBJNi2SAI2PlMqI/Qn3ODwO0WC8PTyGKR\n"
    "oWvHcfFzPAqsoqJofy3A3SqG7SZLP/Ka+2E4720YNo01a+iLVrjiAmGWaebI1rg+\n"
    "0Z0hiSuAtgAP2zAQPg0G55Gv0dQKt3t5O/ovE0ECAwEAAaNTMFEwHQYDVR0OBBYE\n"
    "FOkYRxRaTilNG+O3JQcPy2MjYCAfMB8GA1UdIwQYMBaAFOkYRxRaTilNG+O3JQcP\n"
    "y2MjYCAfMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAFuOZjtl\n"
    "q9iAapyK7XXfaDd9POS0DXEcEzppGRf8V0TCFCJ87PsdOjnA0tQyGbYYaJmTLjFN\n"
    "BqFwAsdULATrMPHLZ04CigrgeBrwy7GoAs6q1cBaeCqC3HLNVoLTY+R7nrPQ0B10\n"
    "+Y+G4bSSXOIYbZhAkcmwhiVmb2I/R8P67VwVDIVNBdxiZAivIQIqzNIaaJlO5qjC\n"
    "Pzn8SuOEJ7eh/VzMBsInXwtGEZ+T4WyGBs8t17nIrZoIMjR8xiHkDW2FX6TqrM6R\n"
    "Hur7E/zt1w07dB1rlNljcEYtkvXcZ4fVL/8dw8fZdg66ybGVBl+dab+PdIcUDP8C\n"
    "jsesXU3wS9dL4cw=\n"
    "-----END CERTIFICATE-----\n";

static struct err err;

static struct x509_request *request(const char *pem, int expected)
{
	struct x509_request *r = NULL;
	int got = x509_request_parse(&r, pem, strlen(pem), &err);

	if (got != expected)
		printf("# %d instead of %d: %s\n", got, expected, err.text);
	CHECK(got == expected);
	CHECK((got == 0) == (r != NULL));
	CHECK(got == 0 || err.text[0]);
	return r;
}

/* A serving request as a kubelet makes it. */
static void make(struct str *pem)
{
	static const char *const dns[] = { "w0", "w0.lab", NULL };
	_cleanup_(str_deinit) struct str key = STR_INIT;
	struct net_ip ip[2];

	CHECK(net_ip_parse("10.0.0.1", &ip[0]) == 0);
	CHECK(net_ip_parse("fd00::1", &ip[1]) == 0);
	CHECK(x509_make_request(pem, &key,
		  &(struct x509_subject){ .cn = "system:node:w0",
		      .o = "system:nodes",
		      .dns = dns,
		      .ip = ip,
		      .n_ip = 2 },
		  &err) == 0);
	CHECK(strstr(key.s, "BEGIN PRIVATE KEY"));
}

TEST(a_kubelets_request)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	_cleanup_(x509_request_freep) struct x509_request *r = NULL;
	_cleanup_(str_deinit) struct str key = STR_INIT;
	uint8_t none[32] = { 0 };

	make(&pem);
	r = request(pem.s, 0);
	if (!r)
		return;
	CHECK(x509_request_is_signed(r));
	CHECK(r->subject.cn.n == 1 && str_eq(r->subject.cn.v[0], "system:node:w0"));
	CHECK(r->subject.o.n == 1 && str_eq(r->subject.o.v[0], "system:nodes"));
	CHECK(r->subject.n_other == 0 && !r->subject.odd);
	CHECK(str_eq(r->subject.text, "CN=system:node:w0,O=system:nodes"));
	CHECK(r->alt.dns.n == 2 && x509_strings_has(&r->alt.dns, "w0.lab"));
	CHECK(!x509_strings_has(&r->alt.dns, "W0.lab"));
	CHECK(r->alt.n_ip == 2 && str_eq(net_ip_str(&r->alt.ip[0]), "10.0.0.1"));
	CHECK(str_eq(net_ip_str(&r->alt.ip[1]), "fd00::1"));
	CHECK(
	    !r->alt.n_ip_mapped && !r->alt.email.n && !r->alt.uri.n && !r->alt.n_other);
	CHECK(!r->leading_text && !r->trailing_text && !r->pem_headers);
	CHECK(r->n_extension_requests == 1 && r->n_alt == 1);
	CHECK(!r->n_other_extensions && !r->n_other_attributes && !r->wants_ca);
	CHECK(r->key.type == X509_KEY_EC && r->key.bits == 256);
	CHECK(memcmp(r->key.sha256, none, 32) != 0);
	x509_key_describe(&r->key, &key);
	CHECK(str_eq(str_get(&key), "EC prime256v1"));
}

TEST(a_hostile_request_hides_nothing)
{
	_cleanup_(x509_request_freep) struct x509_request *r = request(hostile, 0);

	if (!r)
		return;
	CHECK(r->subject.n_other == 1);
	CHECK(r->wants_ca && r->n_other_extensions == 2 && r->n_other_attributes == 1);
	CHECK(r->alt.email.n == 1 && str_eq(r->alt.email.v[0], "a@b.c"));
	CHECK(r->alt.uri.n == 1 && str_eq(r->alt.uri.v[0], "spiffe://x/y"));
	CHECK(r->alt.n_ip == 2 && r->alt.n_ip_mapped == 1 && r->alt.n_other == 1);
	CHECK(str_eq(net_ip_str(&r->alt.ip[0]), "10.0.0.1"));
}

TEST(keys_and_names_of_other_kinds)
{
	_cleanup_(x509_request_freep) struct x509_request *two = request(two_names, 0);
	_cleanup_(x509_request_freep) struct x509_request *ed = request(ed25519, 0);
	_cleanup_(x509_request_freep) struct x509_request *ex =
	    request(explicit_curve, 0);

	CHECK(two && two->subject.cn.n == 2 && two->subject.o.n == 2);
	CHECK(two && str_eq(two->subject.o.v[1], "b") && two->n_alt == 0);
	CHECK(ed && ed->key.type == X509_KEY_ED25519 && x509_request_is_signed(ed));
	CHECK(ex && ex->key.type == X509_KEY_OTHER && !ex->key.curve[0]);
}

static struct x509_request *edited(
    const char *before, const char *pem, const char *after, int expected)
{
	_cleanup_(str_deinit) struct str s = STR_INIT;

	str_addf(&s, "%s%s%s", before, pem, after);
	return request(s.s, expected);
}

TEST(what_stands_around_the_block)
{
	static const struct {
		const char *before, *after;
		bool leading, trailing;
	} t[] = {
		{ "", " \r\n\t\n", false, false },
		{ "", "x", false, true },
		{ "", "-----BEGIN CERTIFICATE REQUEST-----\n", false, true },
		{ "x\n", "", true, false },
		{ "\n", "", true, false },
		{ "x -----BEGIN CERTIFICATE-----\n", "", true, false },
	};
	_cleanup_(str_deinit) struct str pem = STR_INIT;

	make(&pem);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_(x509_request_freep) struct x509_request *r =
		    edited(t[i].before, pem.s, t[i].after, 0);

		CHECK(r && r->leading_text == t[i].leading);
		CHECK(r && r->trailing_text == t[i].trailing);
		CHECK(r && x509_request_is_signed(r) && r->alt.dns.n == 2);
	}
	/* Another kind of block first: the request behind it is not looked for. */
	edited(root, pem.s, "", -EBADMSG);
	edited("-----BEGIN X-----\n", pem.s, "", -EBADMSG);
	edited("x", pem.s, "", -ENOENT);
	edited(" ", pem.s, "", -ENOENT);
}

/* Line 1 is the mark, the rest follows. */
TEST(the_block_itself)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	_cleanup_(x509_request_freep) struct x509_request *r = NULL;
	const char *rest, *mark = "-----BEGIN CERTIFICATE REQUEST-----\n";
	char *cut;

	make(&pem);
	rest = pem.s + strlen(mark);
	r = edited("-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n\n",
	    rest, "", 0);
	CHECK(r && r->pem_headers && x509_request_is_signed(r));
	edited("-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,X\n", rest, "",
	    -EBADMSG);
	edited("-----BEGIN NEW CERTIFICATE REQUEST-----\n", rest, "", -EBADMSG);
	edited("-----BEGIN CERTIFICATE REQUEST-----", rest, "", -EBADMSG);
	edited("-----BEGIN CERTIFICATE REQUEST----- \n", rest, "", -EBADMSG);
	edited("-----BEGIN CERTIFICATE REQUEST-----\n \n", rest, "", -EBADMSG);
	edited("-----BEGIN CERTIFICATE REQUEST-----\nAAAA", rest, "", -EBADMSG);
	cut = strstr(pem.s, "-----END");
	*cut = '\0';
	request(pem.s, -EBADMSG);
	request("", -ENOENT);
	request(
	    "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
	    -EBADMSG);
}

/* The DER of a request, put back into PEM. */
static void repack(struct str *out, const struct str *der)
{
	str_addz(out, "-----BEGIN CERTIFICATE REQUEST-----\n");
	base64_encode(out, der->s, der->len, BASE64_STD);
	str_addz(out, "\n-----END CERTIFICATE REQUEST-----\n");
}

static void unpack(struct str *der, const char *pem)
{
	struct str digits = STR_INIT;

	for (pem = strchr(pem, '\n'); *pem && *pem != '-'; pem++) {
		if (*pem != '\n')
			str_addc(&digits, *pem);
	}
	CHECK(base64_decode(der, digits.s, digits.len, BASE64_STD) == 0);
	str_deinit(&digits);
}

TEST(signature_and_trailing_bytes)
{
	_cleanup_(str_deinit) struct str pem = STR_INIT;
	_cleanup_(str_deinit) struct str der = STR_INIT;
	_cleanup_(str_deinit) struct str again = STR_INIT;
	_cleanup_(x509_request_freep) struct x509_request *r = NULL;
	char *name;

	make(&pem);
	unpack(&der, pem.s);
	/* Another name under the same signature. */
	name = memmem(der.s, der.len, "system:node:w0", 14);
	CHECK(name != NULL);
	name[13] = '1';
	repack(&again, &der);
	r = request(again.s, 0);
	CHECK(r && !x509_request_is_signed(r) &&
	    str_eq(r->subject.cn.v[0], "system:node:w1"));
	/* A NUL byte in a name, which a C string would end at. */
	name[13] = '\0';
	str_reset(&again);
	repack(&again, &der);
	request(again.s, -EBADMSG);
	CHECK(strstr(err.text, "NUL"));
	name[13] = '0';
	name = memmem(der.s, der.len, "w0.lab", 6);
	CHECK(name != NULL);
	name[2] = '\0';
	str_reset(&again);
	repack(&again, &der);
	request(again.s, -EBADMSG);
	name[2] = '.';
	str_addc(&der, '\0');
	str_reset(&again);
	repack(&again, &der);
	request(again.s, -EBADMSG);
}

TEST(too_much_input)
{
	struct str big = STR_INIT;
	struct x509_request *r = NULL;
	struct x509_certs *c = NULL;

	for (size_t i = 0; i <= X509_INPUT_MAX; i++)
		str_addc(&big, '\n');
	CHECK(x509_request_parse(&r, big.s, big.len, &err) == -EFBIG);
	CHECK(x509_certs_parse(&c, big.s, big.len, &err) == -EFBIG);
	CHECK(strstr(err.text, "262144"));
	CHECK(x509_certs_parse(&c, big.s, big.len - 1, &err) == -ENOENT);
	str_deinit(&big);
}

TEST(made_certificates)
{
	static const char *const dns[] = { "registry.okd.example.com", NULL };
	_cleanup_(str_deinit) struct str ca = STR_INIT, ca_key = STR_INIT;
	_cleanup_(str_deinit) struct str cert = STR_INIT, key = STR_INIT;
	_cleanup_(str_deinit) struct str other = STR_INIT, other_key = STR_INIT;
	_cleanup_(x509_certs_freep) struct x509_certs *c = NULL;
	int64_t now = clock_real_s();
	struct net_ip ip;

	CHECK(net_ip_parse("fd00::5", &ip) == 0);
	CHECK(
	    x509_make_ca(&ca, &ca_key, &(struct x509_subject){ .cn = "CA", .o = "okd" },
		now - 60, now + 1000, &err) == 0);
	CHECK(x509_make_cert(&cert, &key,
		  &(struct x509_subject){
		      .cn = "registry", .dns = dns, .ip = &ip, .n_ip = 1 },
		  X509_USE_SERVER, now - 50, now + 5000, ca.s, ca_key.s, &err) == 0);
	CHECK(x509_key_matches(cert.s, key.s, &err) == 0);
	CHECK(x509_key_matches(cert.s, ca_key.s, &err) == -EBADMSG);
	CHECK(strstr(err.text, "another certificate"));
	CHECK(x509_key_matches("x", key.s, &err) == -EBADMSG);
	CHECK(x509_key_matches(cert.s, "x", &err) == -EBADMSG);
	CHECK(x509_issued_by(cert.s, ca.s, &err) == 0);
	CHECK(x509_issued_by("x", ca.s, &err) == -EBADMSG);
	CHECK(x509_issued_by(cert.s, "x", &err) == -EBADMSG);
	CHECK(x509_issued_by(cert.s, cert.s, &err) == -EBADMSG);
	CHECK(strstr(err.text, "another issuer"));
	CHECK(x509_make_ca(&other, &other_key,
		  &(struct x509_subject){ .cn = "CA", .o = "okd" }, now - 60,
		  now + 1000, &err) == 0);
	CHECK(x509_issued_by(cert.s, other.s, &err) == -EBADMSG);
	CHECK(strstr(err.text, "another key"));

	/* Text between, and a key, are passed over. */
	str_addz(&cert, "some words\n");
	str_add(&cert, key.s, key.len);
	str_add(&cert, ca.s, ca.len);
	CHECK(x509_certs_parse(&c, cert.s, cert.len, &err) == 0);
	if (!c || c->n != 2) {
		CHECK(!"two certificates");
		return;
	}
	CHECK(!c->v[0].is_ca && c->v[1].is_ca);
	CHECK(!c->v[0].is_self_issued && c->v[1].is_self_issued);
	CHECK(str_eq(c->v[0].issuer.text, c->v[1].subject.text));
	CHECK(c->v[0].not_before == now - 50);
	/* What outlives its issuer is of no use to a client. */
	CHECK(c->v[0].not_after == now + 1000 && c->v[1].not_after == now + 1000);
	CHECK(c->v[0].alt.dns.n == 1 && str_eq(c->v[0].alt.dns.v[0], dns[0]));
	CHECK(c->v[0].alt.n_ip == 1 && net_ip_eq(&c->v[0].alt.ip[0], &ip));
	CHECK(strlen(c->v[0].serial) == 32 && !str_eq(c->v[0].serial, c->v[1].serial));
	CHECK(memcmp(c->v[0].sha256, c->v[1].sha256, 32) != 0);
}

TEST(what_cannot_be_made)
{
	_cleanup_(str_deinit) struct str ca = STR_INIT, ca_key = STR_INIT,
					 out = STR_INIT;
	const struct x509_subject s = { .cn = "x" };
	int64_t now = clock_real_s();

	CHECK(x509_make_ca(&ca, &ca_key, &s, now, now, &err) == -EINVAL);
	CHECK(x509_make_ca(&ca, &ca_key, &s, now - 100, now - 10, &err) == 0);
	/* Under a CA that has expired. */
	CHECK(x509_make_cert(&out, &out, &s, X509_USE_SERVER, now, now + 10, ca.s,
		  ca_key.s, &err) == -EINVAL);
	CHECK(x509_make_cert(&out, &out, &s, X509_USE_SERVER, now - 50, now, ca.s, "x",
		  &err) == -EBADMSG);
	CHECK(out.len == 0);
}

TEST(certificates_of_others)
{
	_cleanup_(x509_certs_freep) struct x509_certs *c = NULL;
	_cleanup_(str_deinit) struct str damaged = STR_INIT;
	struct x509_certs *none = NULL;

	CHECK(x509_certs_parse(&c, root, strlen(root), &err) == 0);
	if (!c)
		return;
	CHECK(c->v[0].is_ca && c->v[0].key.type == X509_KEY_RSA &&
	    c->v[0].key.bits == 2048);
	CHECK(str_eq(c->v[0].subject.text, "CN=Root,O=Örg,C=DE"));
	CHECK(str_eq(c->v[0].subject.o.v[0], "Örg") && c->v[0].subject.n_other == 1);
	CHECK(c->v[0].not_after - c->v[0].not_before == 3650 * 86400);

	str_addf(&damaged, "%s%s", root, root);
	damaged.s[strlen(root) + 100] = '!';
	CHECK(x509_certs_parse(&none, damaged.s, damaged.len, &err) == -EBADMSG);
	CHECK(x509_certs_parse(&none, "", 0, &err) == -ENOENT);
	CHECK(x509_certs_parse(&none, NULL, 0, &err) == -ENOENT);
	CHECK(x509_certs_parse(&none, hostile, strlen(hostile), &err) == -ENOENT);
	CHECK(none == NULL);
}
