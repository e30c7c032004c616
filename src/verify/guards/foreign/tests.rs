//! Guards in other languages than English.

use crate::verify::guards::Guard;
use crate::verify::text::Comparison;

fn vetoes(guard: Guard, a: &str, b: &str) -> bool {
    let veto = |a, b| guard.veto(&Comparison::of(a, b)).is_some();
    assert_eq!(veto(a, b), veto(b, a), "{a} | {b}");
    veto(a, b)
}

#[test]
fn a_negation_makes_another_question() {
    for (a, b) in [
        ("Kann ich mit Karte zahlen?", "Kann ich nicht mit Karte zahlen?"),
        ("Brauche ich ein Visum für die Türkei?", "Brauche ich kein Visum für die Türkei?"),
        ("Kan ik bestellen met account?", "Kan ik bestellen zonder account?"),
        ("Je peux annuler ma commande ?", "Je ne peux pas annuler ma commande ?"),
        ("Pourquoi est-ce que je reçois des mails ?", "Pourquoi est-ce que je ne reçois plus de mails ?"),
        ("¿Por qué puedo entrar en mi cuenta?", "¿Por qué no puedo entrar en mi cuenta?"),
        ("Perché la carta è valida per l'estero?", "Perché la carta non è valida per l'estero?"),
        ("Posso cancelar com multa?", "Posso cancelar sem multa?"),
        ("Dlaczego kod działa?", "Dlaczego kod nie działa?"),
        ("Почему код работает?", "Почему код не работает?"),
        ("为什么我能登录？", "为什么我不能登录？"),
        ("这个会员有退款吗？", "这个会员没有退款吗？"),
        ("なぜログインできるのですか？", "なぜログインできないのですか？"),
        ("لماذا يعمل الرمز؟", "لماذا لا يعمل الرمز؟"),
        ("क्या मेरा कार्ड काम करता है?", "क्या मेरा कार्ड काम नहीं करता है?"),
    ] {
        assert!(vetoes(Guard::Negation, a, b), "{a} | {b}");
    }
}

#[test]
fn what_only_looks_like_a_negation_is_none() {
    for (a, b) in [
        ("Come mai il cielo è blu?", "Perché il cielo è blu?"),
        ("No me llega nada de correo", "No me llega correo"),
        ("Я никогда не получал код", "Я не получал код"),
        ("你们是不是包邮？", "你们包邮吗？"),
        ("有没有学生优惠？", "有学生优惠吗？"),
        ("这个非常贵吗？", "这个很贵吗？"),
        ("パスワードを変えなければなりませんか", "パスワードを変える必要がありますか"),
        ("カードは使えませんか？", "カードは使えますか？"),
        ("हाँ या नहीं, क्या यह मुफ़्त है?", "हाँ, क्या यह मुफ़्त है?"),
        ("Нет ли скидки? Не подскажете цену?", "Нет скидки? Подскажете цену?"),
        ("Ça coûte plus cher ?", "Ça coûte cher ?"),
        ("Where is Las Vegas?", "Where is Vegas?"),
    ] {
        assert!(!vetoes(Guard::Negation, a, b), "{a} | {b}");
    }
}

#[test]
fn numbers_are_one_in_words_and_in_the_digits_of_any_script() {
    for (a, b) in [
        ("كم سعر ٣ تذاكر؟", "كم سعر 3 تذاكر؟"),
        ("कीमत ५०० रुपये क्यों है?", "कीमत 500 रुपये क्यों है?"),
        ("ｉＰｈｏｎｅ １５", "ｉＰｈｏｎｅ 15"),
        ("三天内能退货吗？", "3天内能退货吗？"),
        ("二十五岁可以吗？", "25岁可以吗？"),
        ("二〇二三年的税", "2023年的税"),
        ("Kann ich in drei Tagen stornieren?", "Kann ich in 3 Tagen stornieren?"),
        ("Was passiert mit 1.000 Euro?", "Was passiert mit 1000 Euro?"),
        ("Combien coûte un prêt de 10 000 euros ?", "Combien coûte un prêt de 10000 euros ?"),
        ("Сколько стоит кредит на 10 000 рублей?", "Сколько стоит кредит на 10000 рублей?"),
        ("Mein Kind hat 38,5 Grad", "Mein Kind hat 38.5 Grad"),
        ("Quem ganhou a copa de 94?", "Quem ganhou a copa de 1994?"),
        ("Quanto é vinte por cento de cento e cinquenta?", "Quanto é 20 por cento de 150?"),
        ("Что делать после ста четырёх дней?", "Что делать после 104 дней?"),
        ("Ho saltato 1 dose, cosa faccio?", "Ho saltato una dose, cosa faccio?"),
        ("这十分重要吗？", "这重要吗？"),
        ("我买了一个手机", "我买了手机"),
    ] {
        assert!(!vetoes(Guard::Numbers, a, b), "{a} | {b}");
    }
    for (a, b) in [
        ("كم سعر ٣ تذاكر؟", "كم سعر ٥ تذاكر؟"),
        ("三天内能退货吗？", "七天内能退货吗？"),
        ("二十五岁可以吗？", "二十六岁可以吗？"),
        ("Kann ich in drei Tagen stornieren?", "Kann ich in sieben Tagen stornieren?"),
        ("Was passiert mit 1.000 Euro?", "Was passiert mit 1 Euro?"),
        ("¿Puedo cancelar en once días?", "¿Puedo cancelar en doce días?"),
        ("Combien coûte un prêt de 10 000 euros ?", "Combien coûte un prêt de 20 000 euros ?"),
        ("十分钟够吗？", "二十分钟够吗？"),
        ("Quem ganhou a copa de 94?", "Quem ganhou a copa de 1998?"),
    ] {
        assert!(vetoes(Guard::Numbers, a, b), "{a} | {b}");
    }
}

#[test]
fn times_are_read_in_many_languages() {
    for (a, b) in [
        ("Habt ihr am Montag geöffnet?", "Habt ihr am Sonntag geöffnet?"),
        ("Is de winkel open op maandag?", "Is de winkel open op zondag?"),
        ("Le magasin est ouvert le lundi ?", "Le magasin est ouvert le dimanche ?"),
        ("¿El pago es mensual?", "¿El pago es anual?"),
        ("Siete aperti a luglio?", "Siete aperti ad agosto?"),
        ("A loja abre no sábado?", "A loja abre no domingo?"),
        ("Czy sklep jest otwarty w poniedziałek?", "Czy sklep jest otwarty w niedzielę?"),
        ("Магазин открыт в субботу?", "Магазин открыт в воскресенье?"),
        ("星期一开门吗？", "星期天开门吗？"),
        ("月曜は営業していますか", "日曜は営業していますか"),
        ("هل المتجر مفتوح يوم الجمعة؟", "هل المتجر مفتوح يوم السبت؟"),
        ("क्या दुकान सोमवार को खुली है?", "क्या दुकान रविवार को खुली है?"),
        ("Kommt ihr um 8 Uhr morgens?", "Kommt ihr um 8 Uhr abends?"),
        ("上午三点可以吗？", "下午三点可以吗？"),
    ] {
        assert!(vetoes(Guard::Dates, a, b), "{a} | {b}");
    }
    for (a, b) in [
        ("Who landed on Mars?", "Who landed?"),
        ("Come mai Roma è la capitale?", "Perché Roma è la capitale?"),
        ("Qual era a capital antes do Rio de Janeiro?", "Qual era a capital antes do Rio?"),
        ("in July", "im Juli"),
    ] {
        assert!(!vetoes(Guard::Dates, a, b), "{a} | {b}");
    }
}

#[test]
fn opposites_stand_against_each_other() {
    for (a, b) in [
        ("Wie kann ich die App aktivieren?", "Wie kann ich die App deaktivieren?"),
        ("Comment activer le roaming ?", "Comment désactiver le roaming ?"),
        ("¿Cómo puedo comprar acciones?", "¿Cómo puedo vender acciones?"),
        ("Как включить уведомления?", "Как отключить уведомления?"),
        ("怎么开启通知？", "怎么关闭通知？"),
        ("ファイルを追加する方法", "ファイルを削除する方法"),
        ("كيف يمكن تفعيل الخدمة؟", "كيف يمكن تعطيل الخدمة؟"),
    ] {
        assert!(vetoes(Guard::Antonyms, a, b), "{a} | {b}");
    }
    assert!(!vetoes(Guard::Antonyms, "上传和下载的区别", "下载是什么"));
}

#[test]
fn roles_are_traded_in_other_languages() {
    for (a, b) in [
        ("Gibt es Züge von Berlin nach Warschau?", "Gibt es Züge von Warschau nach Berlin?"),
        ("Есть ли поезд из Москвы в Казань?", "Есть ли поезд из Казань в Москвы?"),
    ] {
        assert!(vetoes(Guard::Order, a, b), "{a} | {b}");
    }
    assert!(!vetoes(Guard::Order, "Was ist besser, Tee oder Kaffee?", "Was ist besser, Kaffee oder Tee?"));
}

#[test]
fn english_rules_are_for_english() {
    // German "um" and "er" are not hesitation, and Spanish "no" takes nothing back.
    for question in ["Kann ich um 8 Uhr kommen, wenn er will?", "¿Por qué el pago no funciona en la tienda?"]
    {
        let reading = crate::verify::text::Reading::of(question);
        assert_eq!(reading.retracted(), 0, "{question}");
    }
    assert!(vetoes(
        Guard::Dates,
        "Kann ich am Montag um 8 Uhr kommen?",
        "Kann ich am Freitag um 8 Uhr kommen?"
    ));
}
