vcl 4.1;
# Varnish as a balancer that caches nothing. "VCL", "Directors", vmod_directors (shard), vmod_cookie.
import cookie;
import directors;
import std;
{% if health %}
probe alive {
    .url = "/";
    .interval = 1s;
    .timeout = 1s;
    .window = 3;
    .threshold = 1;
}
{% endif -%}
{% for target in targets %}
backend {{ target.id }} {
    .host = "{{ target.host }}";
    .port = "{{ target.port }}";
{%- if health %}
    .probe = alive;
{%- endif %}
}
{%- endfor %}

sub vcl_init {
    new app = directors.shard();
{%- for target in targets %}
    app.add_backend({{ target.id }});
{%- endfor %}
    app.reconfigure();
}

sub vcl_recv {
{%- if rules %}
    # A chain of conditions is what VCL has for paths without a module that is not part of Varnish.
{%- for rule in rules %}
    {% if not loop.first %}else {% endif %}if (req.url ~ "^/section-{{ rule }}/") {
    }
{%- endfor %}
    else {
        return (synth(404));
    }
{%- endif %}
    # Varnish has no stickiness of its own: a cookie with a random value, and the target that its hash chooses.
    unset req.http.X-Route-New;
    cookie.parse(req.http.Cookie);
    if (cookie.isset("route")) {
        set req.http.X-Route = cookie.get("route");
    } else {
        set req.http.X-Route = std.random(0, 1000000000);
        set req.http.X-Route-New = "1";
    }
    set req.backend_hint = app.backend(by=KEY, key=app.key(req.http.X-Route));
    # X-Forwarded-For is appended to before this.
    return (pass);
}

sub vcl_backend_fetch {
    unset bereq.http.X-Route;
    unset bereq.http.X-Route-New;
}

sub vcl_backend_error {
    # A kept connection that the target had closed meanwhile, or one that it refused: once more.
    if (bereq.retries < 1) {
        return (retry);
    }
}

sub vcl_deliver {
    if (req.http.X-Route-New) {
        set resp.http.Set-Cookie = "route=" + req.http.X-Route + "; path=/";
    }
}
