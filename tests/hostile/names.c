/* The world outside as a server sees it that is started with this library (LD_PRELOAD): one name leads to a public address
 * the first time it is asked for, and into this machine ever after; that public address is played by 127.0.0.2. Nothing of
 * the server is changed, and no packet leaves the machine. Everything else goes to the C library as it comes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define NAME "flips.example"
/* Public by every registry, and a sink for strays (AS112, RFC 7534). */
#define PUBLIC "192.175.48.1"

static atomic_int asked;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && strcmp(node, NAME) == 0)
        node = atomic_fetch_add(&asked, 1) == 0 ? PUBLIC : "127.0.0.1";
    return real(node, service, hints, found);
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in there;
    if (address && address->sa_family == AF_INET && length >= sizeof there) {
        memcpy(&there, address, sizeof there);
        if (there.sin_addr.s_addr == inet_addr(PUBLIC)) {
            there.sin_addr.s_addr = inet_addr("127.0.0.2");
            return real(socket, (struct sockaddr *)&there, sizeof there);
        }
    }
    return real(socket, address, length);
}
