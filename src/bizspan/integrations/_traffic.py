"""
Who makes the traffic: bots by their user agents. No I/O.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 512

# Product tokens of crawlers, link previews, monitors and scanners, by the published lists of their operators (Google's
# crawlers, OpenAI, Anthropic, Perplexity, Meta) and the community list crawler-user-agents. That list itself is no
# dependency: it has curl, okhttp, Stripe's webhooks and other clients that are customers here.
_NAMED: Final = re.compile(
    r"^(?:whatsapp/|pinterest/0\.)"  # the previews; their apps' browsers have the name further back
    r"|(?<![a-z0-9])(?:"
    # search and AI without a word such as bot
    r"google-(?:inspectiontool|safety|site-verification|structured-data|read-aloud|extended|cloudvertexbot)"
    r"|googleother|mediapartners-google|feedfetcher|google (?:web preview|favicon)|bingpreview|(?:ia|special)_archiver"
    r"|chatgpt-user|claude-(?:user|web|searchbot)|anthropic-ai|perplexity-user|mistralai-user|cohere-ai"
    r"|meta-external(?:agent|fetcher|hit)|omgili|qwantify|yandex(?:images|video|media|metrika)|yahoo! slurp"
    r"|heritrix|httrack|nutch|scrapy(?=/)|screaming frog"
    # link previews, and what looks at links
    r"|facebookexternalhit|facebookcatalog|skypeuripreview|embedly(?=/)|iframely(?=/)|vkshare|flipboardproxy"
    r"|slack-imgproxy|snapurlpreview|snap url preview|link ?preview(?=/)|linkchecker(?=/)|feedly(?=/)"
    r"|w3c[_-](?:css_)?(?:validator|checklink|linkchecker|mobileok)|validator\.nu"
    # monitors and measurements
    r"|pingdom[a-z]*|statuscake|site24x7|uptime-kuma|uptime\.com|uptimia|betteruptime|datadog ?synthetics?|catchpoint"
    r"|newrelicpinger|monitis|nodeping|updown\.io|kube-probe|elb-healthchecker|googlehc(?=/)|amazon-route53-health"
    r"|cloudflare-(?:healthchecks|alwaysonline)|check_http|blackbox exporter|chrome-lighthouse|gtmetrix|ptst(?=/)"
    r"|headlesschrome|phantomjs"
    # scanners
    r"|zgrab|masscan(?=/)|nmap scripting|nikto(?=/)|sqlmap(?=/)|nuclei(?=/| - open-source)|censysinspect|netcraftsurvey"
    r"|openvas|l9explore|wpscan"
    r")(?![a-z])"
)

# What crawlers without such a name have by custom. Names of other programs may have it too: see `_CLIENT`.
_WORDED: Final = re.compile(
    # Googlebot, UptimeRobot, "+http://.../bots"; not the CUBOT phones, iRobot, Talbots, Abbot, Cabot, Botswana
    r"(?<!cu)(?<!tal)(?<!\biro)(?<!\bab)(?<!\bca)bots?(?![a-z])"
    r"|^mozilla/.*\+https?://"  # the custom of naming a page about themselves; browsers have none
    r"|crawler(?:4j|s)?(?![a-z])|(?<![a-z])crawl(?:ing)?(?=[/@])"
    r"|[a-z0-9]spider(?![a-z])|(?<![a-z])spider(?=/)|scraper(?=/)"
    r"|(?<![a-z])(?:url|link|page|site|feed|web|rss)[ _-]?(?:fetcher|checker|scanner|validator)(?=/)"
)

# Libraries that a program, an app or a partner's server is made with: a word in its own name makes it no bot.
_CLIENT: Final = re.compile(
    r"(?<![a-z0-9])(?:"
    r"okhttp|cfnetwork|darwin(?=/)|dalvik(?=/)|alamofire|afnetworking|dart(?=/)|ktor|retrofit|volley(?=/)"
    r"|python-(?:requests|httpx|urllib3?)|aiohttp|urllib3|go-http-client|java(?=/)|apache-httpclient|reactornetty"
    r"|axios|node-fetch|undici|got(?=/)|superagent|guzzle|guzzlehttp|php-curl-class|symfony httpclient|libwww-perl"
    r"|curl(?=/)|libcurl|wget(?=/)|faraday(?=[/ ]v?[0-9])|typhoeus|rest-client|restsharp|reqwest|hyper(?=/)|unirest"
    r"|hackney|postmanruntime|insomnia(?=/)|httpie"
    r")(?![a-z])"
)

# Webhooks whose user agent looks like one of the above: Slack's events come from "Slackbot 1.0 (+https://.../robots)".
_WEBHOOK: Final = re.compile(r"webhook|hookshot|captain-hook|^slackbot 1\.|^stripe/|paypal ipn|^apis-google")


@lru_cache(maxsize=1024)
def is_bot(user_agent: str) -> bool:
    """
    Whether this user agent names a bot. Browsers, webhooks, and programs made with a generic HTTP client (curl, okhttp)
    don't.

    Args:
        user_agent: At most `LONGEST` of it: it is remembered.
    """
    user_agent = user_agent.lower()
    if _NAMED.search(user_agent) is None and (
        _WORDED.search(user_agent) is None or _CLIENT.search(user_agent) is not None
    ):
        return False
    return _WEBHOOK.search(user_agent) is None
