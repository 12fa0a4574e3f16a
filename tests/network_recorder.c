/* Preloaded library that appends each host name lookup and each IP connection to a file.
 *
 * The file is named by NETWORK_RECORD. Lines are "lookup NAME" and "connect ADDRESS PORT".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void record(const char *line, int length) {
    const char *file = getenv("NETWORK_RECORD");
    int descriptor = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (descriptor >= 0) {
        if (write(descriptor, line, (size_t)length) < 0) abort();
        close(descriptor);
    }
}

static void record_address(const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN], line[128];
    int port;
    if (address == NULL) return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = ntohs(v4->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        port = ntohs(v6->sin6_port);
    } else {
        return;
    }
    record(line, snprintf(line, sizeof line, "connect %s %d\n", text, port));
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    char line[512];
    int length;
    if (name) {
        length = snprintf(line, sizeof line, "lookup %.400s\n", name);
        record(line, length);
    }
    return next(name, service, hints, result);
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    record_address(address);
    return next(descriptor, address, length);
}

ssize_t sendto(int descriptor, const void *data, size_t size, int flags,
               const struct sockaddr *address, socklen_t length) {
    ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
        dlsym(RTLD_NEXT, "sendto");
    record_address(address);
    return next(descriptor, data, size, flags, address, length);
}
