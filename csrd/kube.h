/*
 * The way to the API server: kubeconfig, discovery, and requests with its credentials.
 *
 * The files are looked at every two seconds: a kubeconfig that does not exist yet is
 * waited for, one that changes is taken.  Once the server has said which version of
 * certificates.k8s.io it has, up() is called; when the files change after that, down()
 * and, with the new ones, up() again.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"
#include "common/conf.h"
#include "common/http_client.h"

struct kube;
struct loop;

#define KUBE_GROUP "/apis/certificates.k8s.io"

struct kube_ops {
	void (*up)(void *arg);
	void (*down)(void *arg);
};

int kube_new(struct kube **ret, struct loop *l, const struct kube_ops *ops,
    void *arg) _mustcheck_;
/* Transfers that were started must have been cancelled. */
struct kube *kube_free(struct kube *k);
DEFINE_FREEP(kube)
/* Where the kubeconfig is; paths must live until the next call. */
void kube_configure(struct kube *k, const struct conf_list *paths);

/* "v1" or "v1beta1"; NULL while the API server is not known. */
const char *kube_version(const struct kube *k);
/* For requests to others than the API server. */
struct http_client *kube_client(struct kube *k);
/* What keeps it from working, "" for nothing. */
const char *kube_trouble(const struct kube *k);
const char *kube_server(const struct kube *k); /* "" without a kubeconfig */

/* A request with the kubeconfig's credentials.  path may be an absolute path with a
 * query; body is JSON, or NULL. */
struct kube_request {
	const char *method, *path;
	const char *body;
	size_t body_len;
	uint64_t timeout_ms, idle_timeout_ms;
	size_t max_response;
	void (*on_head)(struct http_transfer *t, void *arg);
	void (*on_data)(struct http_transfer *t, const void *p, size_t n, void *arg);
	void (*on_done)(struct http_transfer *t, int result, void *arg);
	void *arg;
};

/* -ENOTCONN while there is no kubeconfig. */
int kube_start(struct kube *k, struct http_transfer **ret,
    const struct kube_request *req, struct err *e) _mustcheck_;

/* Appends s percent-encoded, so that it is one segment of a path or query. */
void kube_escape(struct str *out, const char *s);
/* The path of a request object, with "/approval" or "" behind it. */
void kube_csr_path(
    const struct kube *k, const char *name, const char *sub, struct str *out);
/* What an answer other than 2xx means, from its Status object or libcurl's words. */
void kube_explain(
    struct http_transfer *t, int result, const char *body, size_t n, struct err *e);
/* Seconds that the server asks to wait (Retry-After), at most 60; 0: none. */
unsigned kube_retry_after(const struct http_transfer *t);

/* Milliseconds to wait after that many failures in a row: doubling from 200 ms to 10 s,
 * and a random part of the second half of it. */
uint64_t kube_backoff(unsigned failures);

/* Requests by outcome, for metrics: class 0 stands for no answer at all. */
enum { KUBE_CLASSES = 6 };
struct kube_stats {
	uint64_t by_class[KUBE_CLASSES];
};
/* Whoever starts a request says how it ended. */
void kube_count(struct kube *k, int result);
const struct kube_stats *kube_stats(const struct kube *k);
