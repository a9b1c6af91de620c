"""What the cleanup Job's container runs: standard Python and, for the deletion itself, the image's own Ray.

A Pod's first seconds are its network's first seconds: a name that does not resolve yet would make Ray abort, and a Job
of one attempt would be lost. So Redis is waited for first, and refusals are put into words a person can act on; they
end up in the Event about the clean-up.
No single quote may stand in the Python texts: they stand between single quotes.
"""

_REDIS = """
import os, sys
from urllib.parse import urlsplit

address = os.environ["RAY_REDIS_ADDRESS"].split(",")[0].strip()
url = urlsplit(address if "://" in address else "redis://" + address)
host, port = url.hostname or "", url.port or 6379
password = os.environ.get("REDIS_PASSWORD") or url.password or ""
""".strip()

_REACH = f"""
{_REDIS}
import socket, time

username = os.environ.get("REDIS_USERNAME") or url.username
words = [word.encode() for word in ("AUTH", username, password) if word]
request = b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(word), word) for word in words)
patience = time.monotonic() + float(os.environ.get("HEADSTAY_REDIS_PATIENCE_S", "60"))
while True:
    try:
        with socket.create_connection((host, port), timeout=5) as redis:
            if password and url.scheme != "rediss":
                redis.sendall(request)
                answer = redis.recv(512).decode(errors="replace").strip()
                if answer.startswith("-"):
                    sys.exit(f"Redis at {{host}}:{{port}} refuses to let us in: {{answer[1:]}}")
        break
    except OSError as error:
        if time.monotonic() > patience:
            sys.exit(f"Redis at {{host}}:{{port}} cannot be reached: {{error}}")
        time.sleep(1)
""".strip()

# Ray before 2.41 knows no `username`, so it is named only where somebody set one.
_CLEAN = f"""
{_REDIS}
from ray._private.gcs_utils import cleanup_redis_storage

namespace = os.environ["RAY_external_storage_namespace"]
account = {{}}
if "REDIS_USERNAME" in os.environ:
    account["username"] = os.environ["REDIS_USERNAME"] or url.username or ""
print("Removing the keys of storage namespace", namespace, "from Redis at", host, flush=True)
removed = cleanup_redis_storage(
    host=host,
    port=port,
    password=password,
    use_ssl=url.scheme == "rediss",
    storage_namespace=namespace,
    **account,
)
sys.exit(0 if removed else "Redis did not remove all keys")
""".strip()

COMMAND = f"""
echo "Clean-up of a deleted RayCluster: https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/kuberay-gcs-ft.html"
python3 -c '{_REACH}' || exit 1
for attempt in 1 2 3; do
  python3 -c '{_CLEAN}' && exit 0
  sleep 2
done
echo "Ray could not remove the keys of storage namespace $RAY_external_storage_namespace in three attempts"
exit 1
""".strip()

# Connects and logs in, and touches no key.
CHECK_COMMAND = f"python3 -c '{_REACH}'"
