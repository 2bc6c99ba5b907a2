"""Who makes the traffic: tests by header, staff by predicate, bots by user agent; everybody else is a customer."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from bizspan import names
from bizspan.integrations._traffic import is_bot
from bizspan.testing import Capture
from tests.arrivals import BROWSER, arrived, facts_of, missing, refused, rules

TRAFFIC = names.TRAFFIC
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
APPLE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"

BOTS = [
    GOOGLEBOT,
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
    f"{APPLE} (Applebot/0.1; +http://www.apple.com/go/applebot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Perplexity-User/1.0; +https://perplexity.ai)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "WhatsApp/2.23.20.0 A",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "kube-probe/1.30",
    "ELB-HealthChecker/2.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0 Safari/537.36",
    f"{BROWSER} Chrome-Lighthouse",
    "Scrapy/2.11 (+https://scrapy.org)",
    "Mozilla/5.0 zgrab/0.x",
    "sqlmap/1.8#stable (https://sqlmap.org)",
    "ia_archiver",
    "Mozilla/5.0 (compatible; NobodyKnowsIt/1.0; +https://nobody.example/about)",
    GOOGLEBOT.upper(),
    "Screaming Frog SEO Spider/21.0",
    "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 Bytespider",
    "Mozilla/5.0 (compatible; Baiduspider-render/2.0; +http://www.baidu.com/search/spider.html)",
    "crawler4j (https://github.com/yasserg/crawler4j/)",
    "Apache-Nutch/1.19",
    "Mozilla/4.5 (compatible; HTTrack 3.0x; Windows 98)",
    "W3C_Validator/1.3 http://validator.w3.org/services",
    "W3C-checklink/4.81 libwww-perl/5.836",
    "LinkChecker/10.2 (+https://linkchecker.github.io/linkchecker/)",
    "FeedFetcher-Google; (+http://www.google.com/feedfetcher.html)",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Google-Read-Aloud",
    "Pinterest/0.2 (+https://www.pinterest.com/bot.html)",
    "PingdomTMS/0.8.5",
    f"{BROWSER} DatadogSynthetics",
    f"{BROWSER} StatusCake",
    "Uptime-Kuma/1.23.11",
    "Mozilla/5.0 (Windows; U; Windows NT 6.1) Gecko/20100101 PTST/240101",
    "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
    "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
    "WPScan v3.8.22 (https://wpscan.com/wordpress-security-scanner)",
]

BROWSERS = [
    BROWSER,
    f"{APPLE} Version/18.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0 Mobile",
    "Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Mobile",
    f"{APPLE} Mobile/15E148 [FBAN/FBIOS;FBAV/400.0;FBDV/iPhone14,2]",
    f"{APPLE} Mobile/15E148 Instagram 300.0",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Botswana-Telecom",
    "Mozilla/5.0 (Linux; Android 9; Uptime P9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile",
    "Mozilla/5.0 (Linux; Android 12; Robotime) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Lighthouse Restaurant App",
    f"{BROWSER} WhatsApp/2.23",
    f"{APPLE} Mobile/21A329 [Pinterest/iOS]",
    f"{BROWSER} Spider-Man",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) coc_coc_browser/117.0 Chrome/111.0",
]

CLIENTS = [
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.3",
    "python-httpx/0.28.0",
    "Python/3.12 aiohttp/3.11.0",
    "Python-urllib/3.12",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "Java/21.0.1",
    "Apache-HttpClient/4.5.14 (Java/17)",
    "PostmanRuntime/7.42.0",
    "insomnia/10.0.0",
    "axios/1.7.7",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "Dart/3.5 (dart:io)",
    "CFNetwork/1496.0.7 Darwin/23.5.0",
    "PHP-Curl-Class/9.0 (+https://github.com/php-curl-class/php-curl-class)",
    "libwww-perl/6.77",
    "OurApp/3.1 (iOS 18; build 4711)",
    "Dalvik/2.1.0 (Linux; U; Android 9; CUBOT_X19 Build/PPR1)",
]

# Of shops, scanners of goods and the like: words of bots, in names of customers' programs.
APPS = [
    "MyBarcodeScanner/2.1 okhttp/4.9",
    "Barcode-Scanner/2.1 (Android 14)",
    "PriceChecker/1.0 CFNetwork",
    "PriceChecker/1.0 (iOS 18; build 12)",
    "MyShop-iOS (spellchecker)",
    "MyShop-iOS/5.2 (spellchecker; en)",
    "Square Validator-App/2",
    "TicketValidator/3.4 (com.example.tickets; iOS 17.1)",
    "Lighthouse Restaurant App",
    "LighthouseRestaurant/2.0 (iPhone)",
    "Nuclei Health/1.0 (iPhone)",
    "Uptime Fitness/7.1 (iPhone)",
    "DocFetcher/2.0 Dart/3.5 (dart:io)",
    "Nightcrawlers-Bait-Shop/1.0 okhttp/4.12.0",
    "acme-robot/1.0 python-requests/2.32.3",
    "OrderBot/1.0 (Java/21.0.1)",
    "Order-Spider/1.0 Go-http-client/2.0",
    "RobotVacuum/4 CFNetwork/1496.0.7 Darwin/23.5.0",
    "iRobot Home/7.0 (iPhone; iOS 17.1)",
    "Talbots/5.1 (iPhone; iOS 17.1)",
    "Abbot-Kinney-Cafe/1.0",
    "Spider-Man-Shop/1.0 (iPhone)",
    "Scrapbooking/3.0 (iPad)",
]

WEBHOOKS = [
    "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "GitHub-Hookshot/044aadd",
    "Slackbot 1.0 (+https://api.slack.com/robots)",
    "Shopify-Captain-Hook",
    "Mozilla/5.0 (compatible; PayPal IPN; +https://www.paypal.com/ipn)",
    "PayPal/AUHR-214.0 PayPal IPN ( https://www.paypal.com/ipn )",
    "Mollie HTTP client/1.0",
    "Svix-Webhooks/1.65.0 (sender-9YMgn; +https://www.svix.com/http-sender/)",
    "Bitbucket-Webhooks/2.0",
    "Discord-Webhook/1.0 (+https://discord.com)",
    "Zendesk Webhook",
    "SendGrid Event API",
    "TwilioProxy/1.1",
    "Adyen HttpClient 1.0",
    "facebookexternalua",
    "APIs-Google (+https://developers.google.com/webmasters/APIs-Google.html)",
]


@pytest.mark.parametrize("user_agent", BOTS)
def test_a_bot_is_one_by_its_user_agent(user_agent: str) -> None:
    """
    Crawlers of search and AI, link previews, monitors and scanners, in any case of letters.
    """
    assert is_bot(user_agent)


@pytest.mark.parametrize(
    "user_agent", [*BROWSERS, *CLIENTS, *APPS, *WEBHOOKS, "", " ", "\udcff", "bottle", "robotics-shop/1"]
)
def test_browsers_generic_clients_and_webhooks_are_never_bots(user_agent: str) -> None:
    """
    An order that a partner's program places is an order.
    """
    assert not is_bot(user_agent)


def test_a_bot_is_told_and_a_customer_is_not(capbiz: Capture) -> None:
    """
    Missing means customer: a browser, a client without a user agent, and an empty one.
    """
    assert {TRAFFIC: "bot"} == facts_of(capbiz, rules(), arrived({"User-Agent": GOOGLEBOT}))
    assert {} == facts_of(capbiz, rules(), arrived({"User-Agent": BROWSER}))
    assert {} == facts_of(capbiz, rules(), arrived({"User-Agent": ""}))
    assert {} == facts_of(capbiz, rules(), arrived())


def test_whoever_is_logged_in_is_no_bot(capbiz: Capture) -> None:
    """
    Programs of customers may call themselves robots.
    """
    request = arrived({"User-Agent": "acme-robot/1.0"}, is_authenticated=lambda: True)

    assert {} == facts_of(capbiz, rules(), request)


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer x"}, {"authorization": "Basic eDp5"}, {"Authorization": "AWS4-HMAC-SHA256 c"},
                {"X-Api-Key": "k"}]
)  # fmt: skip
def test_a_request_with_credentials_is_no_bots(capbiz: Capture, headers: dict[str, str]) -> None:
    """
    Under any scheme, and in every framework: here is nobody logged in by the framework.
    """
    assert {} == facts_of(capbiz, rules(), arrived({"User-Agent": "OrderBot/1.0", **headers}))


@pytest.mark.parametrize(
    "headers", [{"Authorization": ""}, {"Authorization": " "}, {"Proxy-Authorization": "Basic eDp5"}, {"Cookie": "a=b"}]
)
def test_what_is_no_credential_leaves_a_bot(capbiz: Capture, headers: dict[str, str]) -> None:
    """
    An empty header, a proxy's own, and a cookie, which crawlers send back too.
    """
    assert {TRAFFIC: "bot"} == facts_of(capbiz, rules(), arrived({"User-Agent": "OrderBot/1.0", **headers}))


def test_a_log_in_that_cannot_be_read_leaves_a_customer(capbiz: Capture) -> None:
    """
    Who might be logged in is not called a bot.
    """

    def fails() -> bool:
        raise RuntimeError

    assert missing("bots") == facts_of(capbiz, rules(), arrived({"User-Agent": GOOGLEBOT}, is_authenticated=fails))

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 1} == refused(capbiz)


def test_bots_can_be_left_alone(capbiz: Capture) -> None:
    """
    `bots=False` looks at no user agent.
    """
    assert {} == facts_of(capbiz, rules(bots=False), arrived({"User-Agent": GOOGLEBOT}))


def test_only_the_beginning_of_a_user_agent_is_read(capbiz: Capture) -> None:
    """
    A megabyte is bounded, and what stands at its end does not count.
    """
    begins, ends = "Googlebot " * 2**17, "x" * 2**20 + "Googlebot"

    assert {TRAFFIC: "bot"} == facts_of(capbiz, rules(), arrived({"User-Agent": begins}))
    assert {} == facts_of(capbiz, rules(), arrived({"User-Agent": ends}))


@pytest.mark.parametrize("value", ["1", "", "no"])
def test_a_test_is_one_by_the_presence_of_its_header(capbiz: Capture, value: str) -> None:
    """
    Whatever it holds; other requests are not tests.
    """
    ruled = rules(test_header="X-Synthetic")

    assert {TRAFFIC: "test"} == facts_of(capbiz, ruled, arrived({"x-synthetic": value}))
    assert {} == facts_of(capbiz, ruled, arrived({"X-Other": value}))


def test_staff_are_told_by_the_predicate(capbiz: Capture) -> None:
    """
    It gets the framework's request; what it answers counts as true or false.
    """
    ruled = rules(staff=lambda request: request["user"])

    assert {TRAFFIC: "staff"} == facts_of(capbiz, ruled, arrived(request={"user": "admin"}))
    assert {} == facts_of(capbiz, ruled, arrived(request={"user": None}))


def test_a_test_comes_before_staff_and_staff_before_bots(capbiz: Capture) -> None:
    """
    The more certain source wins.
    """
    ruled = rules(test_header="X-Test", staff=lambda request: request == "staff")
    bot = {"User-Agent": GOOGLEBOT}

    assert {TRAFFIC: "test"} == facts_of(capbiz, ruled, arrived({**bot, "X-Test": "1"}, request="staff"))
    assert {TRAFFIC: "staff"} == facts_of(capbiz, ruled, arrived(bot, request="staff"))
    assert {TRAFFIC: "bot"} == facts_of(capbiz, ruled, arrived(bot))


def test_the_resolver_may_say_otherwise(capbiz: Capture) -> None:
    """
    A function of the application's knows its own robots, in both directions.
    """
    bot = {"User-Agent": GOOGLEBOT}

    assert {TRAFFIC: "test"} == facts_of(capbiz, rules(resolver=lambda request: {"traffic": "test"}), arrived(bot))
    assert {} == facts_of(capbiz, rules(resolver=lambda request: {"traffic": None}), arrived(bot))


def test_a_predicate_that_would_have_to_be_awaited_makes_nobody_staff(
    capbiz: Capture, recwarn: pytest.WarningsRecorder
) -> None:
    """
    Its answer would be true for everybody: it is counted, and closed without a warning of Python's.
    """

    async def later(request: object) -> bool:
        return True

    def hidden(request: object) -> Any:
        return later(request)

    assert {} == facts_of(capbiz, rules(staff=hidden), arrived())
    gc.collect()

    capbiz.allow("type")
    assert {"type": 1} == refused(capbiz)
    assert [] == [str(warning.message) for warning in recwarn]


def test_traffic_is_a_dimension_of_the_metric(capbiz: Capture) -> None:
    """
    A KPI can leave out everything but customers.
    """
    facts_of(capbiz, rules(), arrived({"User-Agent": GOOGLEBOT}))
    facts_of(capbiz, rules(), arrived({"User-Agent": BROWSER}))

    assert 1 == capbiz.metric(names.METRIC_DURATION, traffic="bot")
    assert 2 == capbiz.metric(names.METRIC_DURATION)
