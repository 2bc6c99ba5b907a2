"""
Who makes the traffic: bots by their user agents. No I/O.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_LIMIT: Final = 512

# Product tokens of crawlers, link previews, monitors and scanners, by the published lists of their operators (Google's
# crawlers, OpenAI, Anthropic, Perplexity, Meta) and the community list crawler-user-agents. That list itself is no
# dependency: it has curl, okhttp, Stripe's webhooks and other clients that are customers here.
_BOT: Final = re.compile(
    r"(?<!cu)bots?(?![a-z])"  # Googlebot, UptimeRobot, "+http://.../bots"; not the CUBOT phones, not Botswana
    r"|^mozilla/.*\+https?://"  # the crawlers' custom of naming a page about themselves; browsers have none
    r"|crawl|spider|slurp|scrap(?:er|y|ing)|archiver|heritrix|httrack|nutch|fetcher|scanner|checker|validator"
    # search and AI without one of these words
    r"|google-(?:inspectiontool|safety|site-verification|structured-data|read-aloud|extended|cloudvertexbot)"
    r"|googleother|mediapartners-google|feedfetcher|google (?:web preview|favicon)|bingpreview|ia_archive"
    r"|chatgpt-user|claude-(?:user|web|searchbot)|anthropic-ai|perplexity-user|mistralai-user|cohere-ai"
    r"|meta-external(?:agent|fetcher|hit)|ccbot|omgili|qwantify|coccoc|yandex(?:images|video|media|metrika)"
    # link previews
    r"|facebookexternalhit|facebookcatalog|whatsapp/|skypeuripreview|embedly|iframely|linkpreview|link preview|vkshare"
    r"|flipboardproxy|pinterest/0|slack-imgproxy|bitlybot|snapurlpreview"
    # monitors and measurements
    r"|pingdom|statuscake|site24x7|uptime|datadog ?synthetic|catchpoint|newrelicpinger|monitis|nodeping|updown\.io"
    r"|kube-probe|elb-healthchecker|googlehc/|amazon-route53-health|cloudflare-(?:healthchecks|alwaysonline)"
    r"|check_http|blackbox exporter|lighthouse|gtmetrix|ptst/|headlesschrome|phantomjs"
    # scanners
    r"|zgrab|masscan|nmap scripting|nikto|sqlmap|nuclei|censysinspect|netcraftsurvey|openvas|l9explore|wpscan"
)

# Webhooks whose user agent looks like one of the above: Slack's events come from "Slackbot 1.0 (+https://.../robots)".
_WEBHOOK: Final = re.compile(r"webhook|hookshot|captain-hook|^slackbot 1\.|^stripe/|paypal ipn|^apis-google")


@lru_cache(maxsize=1024)
def _is_bot(user_agent: str) -> bool:
    user_agent = user_agent.lower()
    return _BOT.search(user_agent) is not None and _WEBHOOK.search(user_agent) is None


def is_bot(user_agent: str) -> bool:
    """
    Whether this user agent names a bot. Browsers, generic HTTP clients (curl, okhttp) and webhooks don't.
    """
    return _is_bot(user_agent[:_LIMIT])
