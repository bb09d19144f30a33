/* Journal lines and rows of the audit: see tell.h. */
#include "csrd/tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/str.h"

/* The catalog (systemd/okd-csrd.catalog) explains these. */
#define ID_APPROVED "ca8996e14dd24d44a285bf53c34a69af"
#define ID_WOULD_APPROVE "579ac1ce44e64ab2832028777826a65a"
#define ID_PENDING "23432b972aba4d5c93763f1f11040f34"
#define ID_HOSTILE "b0b19a31976c4868acd1c2881490fb9b"
#define ID_DENIED "44edd07c66234cf697f2288efb72cd6b"
#define ID_ISSUED "105d42e3f55241c8ad83bc80898d0014"
#define ID_NOT_ISSUED "4375b73e265f4382b3bc0adaec2f043e"
#define ID_REFUSED "26c5d3fe285544aabe279ef6e3c8b55d"
#define ID_NODE_READY "d7afb02d54e240e0b4a62348b2fa1137"
#define ID_NODE_NOT_READY "c04f6b47520441859e46672e62775ea3"

#define NAMES_MAX 1024

static void names_of(const struct csr *csr, char *buf, size_t size)
{
	_cleanup_(str_deinit) struct str names = STR_INIT;

	if (csr)
		csr_describe_names(csr, &names);
	snprintf(buf, size, "%s", str_get(&names));
}

static const char *key_of(const struct csr *csr, char buf[2 * X509_SHA256 + 1])
{
	return csr && csr->request
	    ? hex_encode(csr->request->key.sha256, X509_SHA256, buf)
	    : NULL;
}

static void event(const struct record *r, int level, const char *id, const char *reason,
    const char *text)
{
	const struct csr *csr = r->csr;
	char key[2 * X509_SHA256 + 1], names[NAMES_MAX];

	names_of(csr, names, sizeof(names));
	log_with(level,
	    LOG_FIELDS("MESSAGE_ID", id, "OKD_CSR", r->name, "OKD_NODE", r->node,
		"OKD_REASON", reason, "OKD_USER", csr ? csr->username : NULL,
		"OKD_SIGNER", csr ? csr->signer : NULL, "OKD_KEY_SHA256",
		key_of(csr, key), "OKD_NAMES", csr ? names : NULL),
	    "%s: %s", conf_show(r->name), text);
}

void tell_entry(const struct record *r, const struct verdict *v, bool deny,
    const char *by, char *names, size_t names_size, struct audit_entry *ret)
{
	const struct csr *csr = r->csr;

	names_of(csr, names, names_size);
	*ret = (struct audit_entry){
		.at = clock_real_s(),
		.decision = deny ? "deny" : "approve",
		.reason = reason_word(v->reason),
		.text = v->text,
		.csr = r->name,
		.uid = r->uid,
		.node = v->name,
		.signer = csr->signer,
		.username = csr->username,
		.names = names,
		.key = csr->request ? csr->request->key.sha256 : NULL,
		.by = by,
	};
}

static void log_decision(
    const struct record *r, const struct verdict *v, enum stats_decision d)
{
	char text[VERDICT_TEXT_MAX + 64];
	const char *reason = reason_word(v->reason);

	switch (d) {
	case DECIDED_APPROVE:
	case DECIDED_DENY:
		return; /* told when it is done */
	case DECIDED_WOULD_APPROVE:
		snprintf(text, sizeof(text), "%s: %s",
		    r->approver->conf->mode == MODE_ASK ? "waits for a person"
							: "would be approved",
		    v->text);
		event(r, LOG_INFO, ID_WOULD_APPROVE, reason, text);
		return;
	default:
		break;
	}
	snprintf(text, sizeof(text), "left pending: %s", v->text);
	switch (reason_kind(v->reason)) {
	case REASON_FOREIGN:
		event(r, LOG_DEBUG, ID_PENDING, reason, text);
		break;
	case REASON_WAITING:
		event(r, LOG_INFO, ID_PENDING, reason, text);
		break;
	case REASON_HOSTILE:
		event(r, LOG_WARNING, ID_HOSTILE, reason, text);
		break;
	default:
		event(r, LOG_WARNING, ID_PENDING, reason, text);
	}
}

static void remember(struct approver *a, const struct record *r,
    const struct verdict *v, enum stats_decision d)
{
	struct recent *e = &a->recent[a->n_recent++ % RECENT_MAX];

	*e =
	    (struct recent){ .at = clock_real_s(), .decision = d, .reason = v->reason };
	snprintf(e->csr, sizeof(e->csr), "%s", conf_show(r->name));
	snprintf(e->node, sizeof(e->node), "%s", v->name);
}

void tell_decision(struct record *r, const struct verdict *v, enum stats_decision d)
{
	struct approver *a = r->approver;
	struct audit_entry entry;
	char names[NAMES_MAX];

	counter_add(&a->stats.decisions[d][v->reason], 1);
	remember(a, r, v, d);
	log_decision(r, v, d);
	if (d != DECIDED_PENDING && d != DECIDED_WOULD_APPROVE)
		return; /* these get their row when they are carried out */
	tell_entry(r, v, false, "policy", names, sizeof(names), &entry);
	entry.decision = stats_decision_word(d);
	audit_pending(a->audit, &entry);
}

void tell_elsewhere(
    struct approver *a, const struct csr *csr, const char *node, int64_t at)
{
	log_info("%s: somebody else approved the client certificate of %s",
	    conf_show(csr->name), node);
	audit_pending(a->audit,
	    &(struct audit_entry){
		.at = at,
		.decision = "elsewhere",
		.reason = reason_word(REASON_CLIENT),
		.text = "somebody else approved it",
		.csr = csr->name,
		.uid = csr->uid,
		.node = node,
		.signer = csr->signer,
		.username = csr->username,
		.key = csr->request->key.sha256,
		.holds_name = true,
		.by = csr->approved_by,
	    });
}

void tell_approved(const struct record *r)
{
	char text[512];

	snprintf(text, sizeof(text), "approved the %s certificate of %s%s%s",
	    str_eq(r->csr->signer, SIGNER_SERVING) ? "serving" : "client", r->node,
	    r->order ? ", by order of " : "", r->order ? r->order->by : "");
	event(r, LOG_INFO, ID_APPROVED, reason_word(r->reason), text);
}

void tell_denied(const struct record *r)
{
	event(r, LOG_WARNING, ID_DENIED, reason_word(r->reason), "denied");
}

void tell_issued(const struct record *r)
{
	event(r, LOG_INFO, ID_ISSUED, NULL, "its certificate is issued");
}

void tell_signing_failed(const struct record *r, const char *why)
{
	char text[512];

	snprintf(text, sizeof(text), "the signer refused what was approved: %s",
	    conf_show(why));
	event(r, LOG_ERR, ID_NOT_ISSUED, NULL, text);
}

void tell_not_issued(const struct record *r)
{
	event(r, LOG_WARNING, ID_NOT_ISSUED, NULL,
	    "approved, and still there is no certificate: is "
	    "kube-controller-manager's signer running?");
}

void tell_refused(const struct record *r, const char *why)
{
	event(r, LOG_ERR, ID_REFUSED, NULL, why);
}

void tell_node_ready(const char *node)
{
	log_with(LOG_INFO, LOG_FIELDS("MESSAGE_ID", ID_NODE_READY, "OKD_NODE", node),
	    "the node %s is Ready", conf_show(node));
}

void tell_node_not_ready(const char *node, uint64_t after_ms)
{
	log_with(LOG_WARNING,
	    LOG_FIELDS("MESSAGE_ID", ID_NODE_NOT_READY, "OKD_NODE", node),
	    "the node %s is not Ready %" PRIu64 " s after its approval",
	    conf_show(node), after_ms / 1000);
}
